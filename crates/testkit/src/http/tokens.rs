//! Tokens as somebody else makes them, and what a token says.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use super::{SECRET, TestServer, Visitor};

impl TestServer {
    /// The claims of an access token as djangorestframework-simplejwt makes them.
    pub fn foreign_claims(&self, user_id: impl Into<Value>) -> Value {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let jti = format!("{:032x}", NEXT.fetch_add(1, Ordering::Relaxed));
        json!({
            "token_type": "access", "exp": self.unix() + 3_600, "iat": self.unix(), "jti": jti, "user_id": user_id.into(),
        })
    }

    /// An access token as djangorestframework-simplejwt makes it.
    pub fn foreign_token(&self, user_id: impl Into<Value>) -> String {
        signed(&self.foreign_claims(user_id))
    }

    /// Somebody who holds such a token.
    pub fn foreign(&self, id: i64, username: &str) -> Visitor {
        self.bearing(id, username, self.foreign_token(id))
    }
}

/// A token of these claims, with the server's signature.
pub fn signed(claims: &Value) -> String {
    signed_by(SECRET, claims)
}

/// A token of these claims, with somebody's signature.
pub fn signed_by(secret: &str, claims: &Value) -> String {
    let key = jsonwebtoken::EncodingKey::from_secret(secret.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), claims, &key).expect("a token")
}

/// The claims of a token, unchecked.
pub fn claims(token: &str) -> Value {
    let middle = token.split('.').nth(1).expect("three parts");
    serde_json::from_slice(&unbase64url(middle)).expect("claims are JSON")
}

fn unbase64url(text: &str) -> Vec<u8> {
    let sextet = |c: u8| match c {
        b'A'..=b'Z' => c - b'A',
        b'a'..=b'z' => c - b'a' + 26,
        b'0'..=b'9' => c - b'0' + 52,
        b'-' => 62,
        _ => 63,
    };
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for c in text.bytes() {
        bits = (bits << 6) | u32::from(sextet(c));
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from((bits >> held) & 0xff).expect("eight bits"));
        }
    }
    bytes
}
