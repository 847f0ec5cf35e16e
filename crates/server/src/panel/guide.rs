//! Pages for people who read: the first one, and of the documentation `docs/troubleshooting.md` and the README's first steps, as much of
//! Markdown as those use. They ask no other host for anything.

use std::fmt::Write as _;

const GUIDE: &str = include_str!("../../../../docs/troubleshooting.md");
const README: &str = include_str!("../../../../README.md");
/// The section of the README with the first steps.
const FIRST_STEPS: &str = "## Five minutes to a green dot\n";

const HOME: &str = "<h1>Presently</h1>\
    <p>This server knows who is online, who is away, who is offline, and when each user was last seen.</p>\
    <ul><li><a href=\"/admin\">The panel</a>: who is online, for administrators</li>\
    <li><a href=\"/api/docs\">The API</a>: everything that can be called</li>\
    <li><a href=\"/first-steps\">First steps</a>: five minutes to a green dot</li></ul>";

/// The troubleshooting page.
pub(crate) fn page() -> String {
    let guide = format!("<p><a href=\"/admin\">← The panel</a></p>{}", html(GUIDE));
    framed("Troubleshooting · Presently", &guide)
}

/// The page at `/`.
pub(crate) fn home() -> String {
    framed("Presently", HOME)
}

/// The README's first steps.
pub(crate) fn first_steps() -> String {
    let section = README.split_once(FIRST_STEPS).map_or("", |(_, rest)| rest);
    let section = section.split_once("\n## ").map_or(section, |(section, _)| section);
    let steps = html(&format!("{FIRST_STEPS}{section}"));
    framed("First steps · Presently", &format!("<p><a href=\"/\">← Presently</a></p>{steps}"))
}

fn framed(title: &str, main: &str) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\">\
         <title>{title}</title><link rel=\"icon\" href=\"/admin/icon.svg\">\
         <link rel=\"stylesheet\" href=\"/admin/style.css\"></head><body class=\"guide\"><main>{main}</main></body></html>"
    )
}

/// What is open while lines are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Block {
    None,
    Paragraph,
    Item(&'static str),
    Code,
    Table,
}

impl Block {
    fn end(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Paragraph => "</p>",
            Self::Item("ul") => "</li></ul>",
            Self::Item(_) => "</li></ol>",
            Self::Code => "</code></pre>",
            Self::Table => "</table></div>",
        }
    }
}

fn html(markdown: &str) -> String {
    let mut page = String::new();
    let mut open = Block::None;
    for line in markdown.lines() {
        let fence = line.starts_with("```");
        if open == Block::Code && !fence {
            let _ = writeln!(page, "{}", escaped(line));
            continue;
        }
        let text = line.trim();
        let next = match text {
            _ if fence && open == Block::Code => Block::None,
            _ if fence => Block::Code,
            "" => Block::None,
            _ if text.starts_with('#') => Block::None,
            _ if text.starts_with('|') => Block::Table,
            _ if text.starts_with("- ") => Block::Item("ul"),
            _ if numbered(text).is_some() => Block::Item("ol"),
            _ if matches!(open, Block::Item(_)) && line.starts_with(' ') => open,
            _ => Block::Paragraph,
        };
        let begins = next != open;
        if begins {
            page.push_str(open.end());
            page.push_str(match next {
                Block::None => "",
                Block::Paragraph => "<p>",
                Block::Item("ul") => "<ul><li>",
                Block::Item(_) => "<ol><li>",
                Block::Code => "<pre tabindex=\"0\"><code>",
                Block::Table => "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"Causes\"><table>",
            });
        } else if item(text).is_some() {
            page.push_str("</li><li>");
        }
        open = next;
        match next {
            Block::Code => {}
            Block::Table => row(&mut page, text, if begins { "th" } else { "td" }),
            Block::Item(_) => {
                let _ = writeln!(page, "{}", inline(item(text).unwrap_or(text)));
            }
            _ if text.starts_with('#') => heading(&mut page, text),
            _ if fence => {}
            _ => {
                let _ = writeln!(page, "{}", inline(text));
            }
        }
    }
    page.push_str(open.end());
    page
}

fn numbered(text: &str) -> Option<&str> {
    let (number, rest) = text.split_once(". ")?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(rest)
}

fn item(text: &str) -> Option<&str> {
    text.strip_prefix("- ").or_else(|| numbered(text))
}

fn heading(page: &mut String, text: &str) {
    let level = text.bytes().take_while(|byte| *byte == b'#').count().min(6);
    let words = text.trim_start_matches('#').trim();
    let name: String = words
        .to_lowercase()
        .chars()
        .filter_map(|letter| match letter {
            ' ' | '-' => Some('-'),
            _ => letter.is_alphanumeric().then_some(letter),
        })
        .collect();
    let _ = writeln!(page, "<h{level} id=\"{}\">{}</h{level}>", escaped(&name), inline(words));
}

fn row(page: &mut String, text: &str, cell: &str) {
    let cells: Vec<_> = text.trim_matches('|').split('|').map(str::trim).collect();
    if cells.iter().all(|cell| !cell.is_empty() && cell.bytes().all(|byte| matches!(byte, b'-' | b':'))) {
        return;
    }
    page.push_str("<tr>");
    for words in cells {
        let _ = write!(page, "<{cell}>{}</{cell}>", inline(words));
    }
    page.push_str("</tr>");
}

/// Code, strong words and links. Links to files of the repository are shown as words: they lead nowhere from here.
fn inline(text: &str) -> String {
    let mut out = String::new();
    for (place, part) in text.split('`').enumerate() {
        if place % 2 == 1 {
            let _ = write!(out, "<code>{}</code>", escaped(part));
            continue;
        }
        for (place, part) in part.split("**").enumerate() {
            let words = links(part);
            let _ = if place % 2 == 1 { write!(out, "<strong>{words}</strong>") } else { write!(out, "{words}") };
        }
    }
    out
}

fn links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, words, target, after)) = link(rest) {
        let (words, target) = (escaped(words), escaped(target));
        let _ = match target.starts_with(['#', '/']) {
            true => write!(out, "{}<a href=\"{target}\">{words}</a>", escaped(before)),
            false => write!(out, "{}{words}", escaped(before)),
        };
        rest = after;
    }
    out.push_str(&escaped(rest));
    out
}

fn link(text: &str) -> Option<(&str, &str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (words, rest) = rest.split_once("](")?;
    let (target, after) = rest.split_once(')')?;
    Some((before, words, target, after))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_guide_uses_becomes_a_page() {
        let shown = html(
            "# A <b>\n\nOne `x<y` and **two**\nlines, [here](#a).\n\n1. first\n   more\n2. second\n\n- a\n- b\n\n```\n<code>\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        );
        for part in [
            "<h1 id=\"a-b\">A &lt;b&gt;</h1>",
            "<p>One <code>x&lt;y</code> and <strong>two</strong>\nlines, <a href=\"#a\">here</a>.",
            "<ol><li>first\nmore\n</li><li>second",
            "<ul><li>a\n</li><li>b",
            "<pre tabindex=\"0\"><code>&lt;code&gt;\n</code></pre>",
            "<tr><th>a</th><th>b</th></tr><tr><td>1</td>",
        ] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
    }

    #[test]
    fn the_first_steps_are_those_of_the_readme() {
        let page = first_steps();
        for part in ["<h2 id=\"five-minutes-to-a-green-dot\">", "cargo run --release", "/api/users/heartbeat/", "<pre"]
        {
            assert!(page.contains(part), "{part} in {page}");
        }
        assert!(!page.contains("<h2 id=\"the-panel\">"), "one section alone");
    }

    #[test]
    fn the_guide_answers_the_three_questions() {
        let page = page();
        for part in ["shows offline", "stays online", "stale", "readyz", "presently verify", "why this status"] {
            assert!(page.to_lowercase().contains(part), "{part}");
        }
    }
}
