//! Who may come in: whoever has the token of the service, or everybody who can reach the door.

use std::fmt;
use std::sync::Arc;

/// The token of the service, or none: then the composition root listens on loopback only.
#[derive(Clone)]
pub struct Token(Option<Arc<str>>);

impl Token {
    /// Asks for this token, where there is one.
    pub fn new(token: Option<&str>) -> Self {
        Self(token.map(Arc::from))
    }

    /// The token that is asked for.
    pub(super) fn needed(&self) -> Option<&str> {
        self.0.as_deref()
    }

    /// Whether this is the token, in a time that does not depend on where the two differ.
    pub(super) fn admits(&self, given: &str) -> bool {
        let Some(token) = self.needed() else {
            return true;
        };
        let same = token.len() == given.len();
        let pairs = token.bytes().zip(given.bytes());
        pairs.fold(0, |differs, (a, b)| differs | (a ^ b)) == 0 && same
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Some(_) => "Token(***)",
            None => "Token(none)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: Option<&str>, given: &str, admitted: bool) {
        let token = Token::new(token);
        assert_eq!(token.admits(given), admitted, "{given}");
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn only_the_token_opens() {
        check(None, "", true);
        check(None, "anything", true);
        check(Some("s3cret"), "s3cret", true);
        check(Some("s3cret"), "s3cre", false);
        check(Some("s3cret"), "s3cretx", false);
        check(Some("s3cret"), "S3cret", false);
        check(Some("s3cret"), "", false);
    }
}
