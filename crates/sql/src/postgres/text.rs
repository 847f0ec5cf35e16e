//! Texts in PostgreSQL. **What went in comes back, U+0000 included**, which PostgreSQL refuses: it is kept as U+0001 U+0001, and
//! U+0001 as U+0001 U+0002. The order of the bytes stays as it was.

use std::borrow::Cow;

/// `text` as PostgreSQL keeps it.
pub(crate) fn kept(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte <= 1) {
        return Cow::Borrowed(text);
    }
    let mut kept = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '\0' => kept.push_str("\u{1}\u{1}"),
            '\u{1}' => kept.push_str("\u{1}\u{2}"),
            letter => kept.push(letter),
        }
    }
    Cow::Owned(kept)
}

/// What was kept as `kept`.
pub(crate) fn read(kept: &str) -> Cow<'_, str> {
    if !kept.contains('\u{1}') {
        return Cow::Borrowed(kept);
    }
    let mut text = String::with_capacity(kept.len());
    let mut letters = kept.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\u{1}' => match letters.next() {
                Some('\u{1}') => text.push('\0'),
                Some('\u{2}') | None => text.push('\u{1}'),
                // Written by another program.
                Some(other) => text.extend(['\u{1}', other]),
            },
            letter => text.push(letter),
        }
    }
    Cow::Owned(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_went_in_comes_back_in_the_same_order() {
        let mut texts = [
            "",
            "\0",
            "\0\0",
            "\0\u{1}",
            "\u{1}",
            "\u{1}\0",
            "\u{1}\u{1}",
            "\u{2}",
            "a",
            "a\0",
            "a\u{1}",
            "a\u{2}",
            "é",
        ];
        texts.sort_unstable();
        for text in texts {
            assert!(!kept(text).contains('\0'));
            assert_eq!(read(&kept(text)), text);
        }
        assert!(texts.windows(2).all(|pair| kept(pair[0]).as_bytes() < kept(pair[1]).as_bytes()));
    }
}
