//! The name by which a server knows its own evidence among that of others.

/// The longest name, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// Letters, digits, `.`, `_` and `-`, at most 64 of them; none at all where there is one server alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node(String);

impl Node {
    /// A name; `None` when it has other signs, or too many.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        (name.len() <= NAME_BYTES_MAX && name.bytes().all(fits)).then(|| Self(name.to_owned()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_needs_no_quotes() {
        assert!(Node::new("").is_some() && Node::new("a-1.example_B").is_some());
        assert_eq!(["a'b", "a b", "é", "\0", &"x".repeat(65)].map(Node::new), [None, None, None, None, None]);
    }
}
