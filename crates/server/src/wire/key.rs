//! API keys on the wire.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A new key.
#[derive(Deserialize, ToSchema)]
pub(crate) struct CreateKey {
    /// What people call it: 1 to 100 printable characters, unique among the keys that live.
    #[schema(required, example = "billing")]
    pub(crate) name: Option<String>,
}

/// A key, as far as it can be shown.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(crate) struct KeyBody {
    pub(crate) id: i64,
    pub(crate) name: String,
    /// Its first characters, to tell it from others.
    #[schema(example = "presently_Xb91k2")]
    pub(crate) prefix: String,
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// An hour may have gone by since; null: never used.
    #[schema(format = DateTime)]
    pub(crate) last_used_at: Option<String>,
    /// It opens nothing since; null: it lives.
    #[schema(format = DateTime)]
    pub(crate) revoked_at: Option<String>,
}

/// A key that was just made.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiKey)]
pub(crate) struct MadeKeyBody {
    #[serde(flatten)]
    pub(crate) made: KeyBody,
    /// The key itself: for `Authorization: Bearer` or `X-API-Key`. It is never shown again.
    pub(crate) key: String,
}

/// The keys: those that live, then the revoked, each newest first; at most 10,000.
#[derive(Serialize, ToSchema)]
#[schema(as = ApiKeys)]
pub(crate) struct Keys {
    pub(crate) api_keys: Vec<KeyBody>,
    pub(crate) count: usize,
}
