//! What was found: ✔ or ✘ with what was seen, and what to do about it.

use std::io::{IsTerminal as _, Write as _};

use serde_json::{Value, json};

use crate::command::Failure;

/// The checks so far.
pub(super) struct Report {
    url: String,
    as_json: bool,
    /// Whether somebody looks at the progress.
    shows_progress: bool,
    checks: Vec<Value>,
    failed: usize,
}

impl Report {
    pub(super) fn new(url: &str, as_json: bool) -> Self {
        let shows_progress = !as_json && std::io::stderr().is_terminal();
        Self { url: url.to_owned(), as_json, shows_progress, checks: Vec::new(), failed: 0 }
    }

    /// What a person should know now. With JSON nothing but JSON is on stdout.
    pub(super) fn announce(&self, text: &str) {
        if !self.as_json {
            self.progress("");
            print(text);
        } else if std::io::stderr().is_terminal() {
            let _ = std::io::stderr().write_all(text.as_bytes());
        }
    }

    pub(super) fn passed(&mut self, check: &str, seen: &str) {
        self.add(check, true, seen, "");
    }

    pub(super) fn failed(&mut self, check: &str, seen: &str, advice: &str) {
        self.failed += 1;
        self.add(check, false, seen, advice);
    }

    /// A check that passed or not, with what was seen either way.
    pub(super) fn result(&mut self, check: &str, result: Result<String, String>, advice: &str) {
        match result {
            Ok(seen) => self.passed(check, &seen),
            Err(seen) => self.failed(check, &seen, advice),
        }
    }

    fn add(&mut self, check: &str, passed: bool, seen: &str, advice: &str) {
        if !self.as_json {
            self.progress("");
            let mark = if passed { '✔' } else { '✘' };
            let advice = if advice.is_empty() { String::new() } else { format!("\n    → {advice}") };
            print(&format!("{mark} {check}: {seen}{advice}\n"));
        }
        self.checks.push(json!({"check": check, "passed": passed, "seen": seen, "advice": advice}));
    }

    /// What is waited for; the line is written over.
    pub(super) fn progress(&self, text: &str) {
        if self.shows_progress {
            // A line that cannot be written is no reason to stop.
            let _ = write!(std::io::stderr(), "\r\x1b[2K{text}");
        }
    }

    pub(super) fn end(self) -> Result<(), Failure> {
        let passed = self.checks.len() - self.failed;
        if self.as_json {
            let all = json!({"url": self.url, "passed": passed, "failed": self.failed, "checks": self.checks});
            print(&format!("{all}\n"));
        } else {
            print(&format!("{passed} passed, {} failed\n", self.failed));
        }
        if self.failed == 0 { Ok(()) } else { Err(Failure::Failed(format!("{} of the checks failed", self.failed))) }
    }
}

fn print(text: &str) {
    let mut out = std::io::stdout();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
