//! How a search finds accounts in any script, on databases that fold ASCII only: both sides are folded before they get there.

use presently_accounts::fold_case;

/// What a search looks into: a line a field, so that nothing is found across two of them.
pub(crate) fn search_key(username: &str, email: &str, first_name: &str, last_name: &str) -> String {
    [username, email, first_name, last_name].map(|field| fold_case(&field.replace('\n', " "))).join("\n")
}

/// `text` as a `LIKE … ESCAPE '\'` pattern that finds it anywhere, with `%` and `_` meaning themselves.
pub(crate) fn pattern(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in fold_case(text).chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_means_its_letters() {
        assert_eq!(pattern(r"50%_\Ä"), r"%50\%\_\\ä%");
    }

    #[test]
    fn a_key_has_a_line_a_field() {
        assert_eq!(search_key("Ada", "A@B.c", "Zoë\nX", "ŻÓŁĆ"), "ada\na@b.c\nzoë x\nżółć");
    }
}
