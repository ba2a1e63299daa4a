//! Who a call comes from: `authorization: Bearer TOKEN`, or `Basic` with the token as password.

use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::doors::Token;

/// Looks at every call.
#[derive(Debug, Clone)]
pub(super) struct Credentials(Token);

impl Credentials {
    pub(super) fn new(token: Token) -> Self {
        Self(token)
    }
}

impl Interceptor for Credentials {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        if self.0.needed().is_none() {
            return Ok(request);
        }
        let sent = request.metadata().get("authorization");
        let secret = sent.and_then(|value| secret(value.to_str().ok()?));
        match secret {
            Some(secret) if self.0.admits(&secret) => Ok(request),
            Some(_) => Err(Status::unauthenticated(
                "the token is not the one that this service was configured with",
            )),
            None => Err(Status::unauthenticated(
                "send the token of this service as bearer token, or as password of any user",
            )),
        }
    }
}

fn secret(value: &str) -> Option<String> {
    let (scheme, rest) = value.split_once(' ')?;
    match scheme.to_ascii_lowercase().as_str() {
        "bearer" => Some(rest.trim().to_owned()),
        "basic" => {
            let text = String::from_utf8(from_base64(rest.trim())?).ok()?;
            let (_user, password) = text.split_once(':')?;
            Some(password.to_owned())
        }
        _ => None,
    }
}

/// RFC 4648 with or without padding; nothing where it is not.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let (mut bytes, mut held, mut bits) = (Vec::with_capacity(text.len()), 0_u32, 0_u32);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(value)) & 0xfff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: Option<&str>, sent: Option<&str>, admitted: bool) {
        let mut request = Request::new(());
        if let Some(sent) = sent {
            let value = sent.parse().unwrap();
            request.metadata_mut().insert("authorization", value);
        }
        let checked = Credentials::new(Token::new(token)).call(request);
        assert_eq!(checked.is_ok(), admitted, "{sent:?}");
    }

    #[test]
    fn the_token_comes_as_bearer_or_as_password() {
        check(None, None, true);
        check(Some("s3cret"), None, false);
        check(Some("s3cret"), Some("Bearer s3cret"), true);
        check(Some("s3cret"), Some("bearer  s3cret "), true);
        check(Some("s3cret"), Some("Bearer other"), false);
        // user:s3cret, anybody:s3cret, user:other, and no text at all.
        check(Some("s3cret"), Some("Basic dXNlcjpzM2NyZXQ="), true);
        check(Some("s3cret"), Some("Basic YW55Ym9keTpzM2NyZXQ"), true);
        check(Some("s3cret"), Some("Basic dXNlcjpvdGhlcg=="), false);
        check(Some("s3cret"), Some("Basic !!!"), false);
        check(Some("s3cret"), Some("Digest s3cret"), false);
    }
}
