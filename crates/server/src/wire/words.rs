//! The words that fields are limited to, each kind a schema of its own in the OpenAPI document. They come from the types that decide, so
//! a word that is new there is new here.

use std::borrow::Cow;

use presently::{Activity, Reason, Source, Status};
use presently_accounts::{AccountStatus, Role};
use utoipa::openapi::schema::Type;
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

macro_rules! words {
    ($($(#[doc = $about:literal])+ $kind:ident as $name:literal = $words:expr;)*) => {$(
        $(#[doc = $about])+
        pub(crate) enum $kind {}

        impl PartialSchema for $kind {
            fn schema() -> RefOr<Schema> {
                let about = concat!($($about),+).trim();
                let words = ObjectBuilder::new().schema_type(Type::String).description(Some(about));
                words.enum_values(Some($words)).into()
            }
        }

        impl ToSchema for $kind {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed($name)
            }
        }
    )*
        /// All of them by name: parameters refer to schemas, but do not bring them along.
        pub(crate) fn schemas() -> Vec<(String, RefOr<Schema>)> {
            vec![$(($name.to_owned(), $kind::schema())),*]
        }
    };
}

words! {
    /// What is shown of a user.
    Shown as "Status" = [Status::Online, Status::Away, Status::Offline].map(Status::as_str);
    /// What a client saw of its person.
    Seen as "Activity" = [Activity::Active, Activity::Idle].map(Activity::as_str);
    /// Why a status changed.
    Why as "Reason" = Reason::ALL.map(Reason::as_str);
    /// On whose word an override stands.
    Word as "Source" = Source::ALL.map(Source::as_str);
    /// What an account may do.
    Rank as "Role" = [Role::Admin, Role::Moderator, Role::User].map(Role::as_str);
    /// The state of an account.
    State as "AccountStatus" = STATES.map(AccountStatus::as_str);
    /// The state of an account; `inactive` when it is deactivated, whatever its status.
    ShownState as "DisplayStatus" = [STATES.map(AccountStatus::as_str).as_slice(), &["inactive"]].concat();
    /// How a list is sorted; with `-` from the other end.
    Order as "Ordering" = ["created_at", "username", "last_seen", "online_status"].map(|by| [by.to_owned(), format!("-{by}")]).concat();
    /// How far back.
    Window as "Window" = ["hour", "day"];
}

const STATES: [AccountStatus; 4] =
    [AccountStatus::Active, AccountStatus::Pending, AccountStatus::Suspended, AccountStatus::Banned];
