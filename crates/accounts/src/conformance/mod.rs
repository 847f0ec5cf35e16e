//! What every [`AccountStore`] promises, one case per promise. **A case begins with an empty store of its own.**
//!
//! [`run`] goes through all of them; [`account_store_conformance!`](crate::account_store_conformance) makes a test of each, so that a
//! report names the promise that was broken. Cases panic with what they found.

#![allow(missing_docs, reason = "the name of a case is its promise")]

pub mod accounts;
pub mod audit;
pub mod changes;
pub mod emails;
pub mod keys;
pub mod pages;
pub mod rules;
pub mod sessions;

use std::sync::Arc;

use jiff::Timestamp;

use crate::store::{AccountStore, AuditEntry, CredentialSession};
use crate::{Account, AccountId, AccountStatus, NewAccount, PasswordHash, RefreshTokens, Role};

/// The store that a case examines.
pub type Subject = Arc<dyn AccountStore>;

/// Calls the macro it is given once, with every case of the suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __account_store_cases {
    ($with:ident $(, $extra:expr)?) => {
        $crate::$with! { ($($extra)?)
            accounts::an_account_comes_back_as_it_was_made
            accounts::ids_grow_and_are_never_used_twice
            accounts::a_username_is_unique_in_any_case_of_letters
            accounts::a_username_of_someone_erased_is_free_again
            accounts::names_that_look_alike_are_one_too_many
            accounts::old_hashes_are_found_one_kind_after_the_other
            accounts::update_changes_what_it_names_and_nothing_else
            accounts::a_hash_is_replaced_only_while_it_is_the_old_one
            accounts::update_and_delete_of_nobody_are_not_found
            accounts::delete_erases_the_account_and_its_sessions
            accounts::ten_thousand_accounts_are_asked_for_in_one_call
            accounts::all_numbers_are_told_and_none_of_the_erased
            accounts::slices_of_all_accounts_come_newest_first_without_a_gap
            accounts::only_admins_who_may_sign_in_are_counted
            accounts::barred_are_those_who_may_not_be_present
            accounts::two_inserts_of_one_name_at_once_make_one_account
            emails::an_email_address_is_unique_in_any_case_of_letters
            emails::no_address_is_no_address
            emails::two_who_take_one_address_at_once_are_one
            rules::a_username_is_changed_unless_it_is_taken
            rules::a_password_is_set_only_while_it_is_the_one_that_was_known
            rules::only_a_pending_account_is_approved
            rules::a_ban_beside_an_approval_holds
            rules::the_last_active_admin_stays_one
            rules::two_admins_who_try_it_on_each_other_at_once_leave_one
            pages::search_looks_into_every_name_in_any_case
            pages::search_takes_wildcards_literally
            pages::filters_narrow_and_combine
            pages::a_page_is_a_slice_and_counts_all
            pages::created_at_orders_with_ties_by_id
            pages::username_orders_in_any_case
            pages::last_seen_orders_by_what_is_live_and_never_is_oldest
            pages::online_status_orders_offline_away_online
            pages::online_status_filters_by_what_is_live
            pages::ten_thousand_live_users_fit_into_a_query
            sessions::a_session_comes_back_as_it_was_opened
            sessions::a_session_opens_for_active_accounts_only
            sessions::live_sessions_come_oldest_first_without_the_ended_and_expired
            sessions::an_ended_session_stays_to_be_found_and_keeps_its_first_end
            sessions::a_session_of_another_account_is_not_ended
            sessions::a_foreign_token_is_ended_without_having_been_opened
            sessions::an_unknown_session_of_our_own_is_not_made_by_ending_it
            sessions::a_refresh_token_rotates_once
            sessions::a_refresh_token_used_twice_ends_its_session
            sessions::what_has_ended_or_expired_or_never_was_does_not_rotate
            sessions::of_two_rotations_at_once_one_rotates_and_the_other_ends_the_session
            sessions::with_grace_all_that_rotate_at_once_go_on_by_themselves
            sessions::without_rotation_the_same_token_stays_good_until_its_end
            sessions::a_session_that_an_admin_ended_says_so_and_its_line_comes_with_it
            sessions::ending_all_sessions_voids_them_and_the_tokens_until_now
            sessions::the_session_that_is_spared_goes_on
            sessions::expired_sessions_are_pruned_up_to_the_limit
            changes::what_changed_is_listed_once_it_is_done
            changes::a_session_that_ends_is_a_change
            changes::what_did_not_happen_is_no_change
            changes::changes_can_be_followed_beyond_one_answer
            keys::a_key_comes_back_as_it_was_made
            keys::a_key_is_found_by_its_whole_hash_only
            keys::a_name_is_unique_among_the_keys_that_live
            keys::a_key_is_revoked_once_by_name_or_number_and_stays_known
            keys::of_two_keys_with_one_name_the_living_one_is_revoked
            keys::living_keys_are_listed_first_and_newest_first
            keys::a_revoked_key_is_a_change_and_nothing_else_about_keys_is
            keys::a_key_and_its_line_come_together
            keys::use_is_noted_of_the_keys_named
            audit::the_log_comes_newest_first_in_pages
            audit::a_change_and_its_line_come_together
            audit::what_failed_leaves_no_line
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __run_account_store_cases {
    (($make:expr) $($module:ident::$case:ident)*) => {
        $( $crate::conformance::$module::$case($make().await).await; )*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __test_account_store_cases {
    (($make:expr) $($module:ident::$case:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::conformance::$module::$case($make().await).await;
            }
        )*
    };
}

/// Makes one `#[tokio::test]` of every promise; `make` is a function that returns an empty [`Subject`], with an `.await`.
///
/// ```ignore
/// presently_accounts::account_store_conformance!(empty_store);
/// ```
#[macro_export]
macro_rules! account_store_conformance {
    ($make:expr) => {
        $crate::__account_store_cases! { __test_account_store_cases, $make }
    };
}

/// Goes through every promise, each with a store that `make` makes for it.
pub async fn run<F, Fut>(make: F)
where
    F: Fn() -> Fut,
    Fut: Future<Output = Subject>,
{
    crate::__account_store_cases! { __run_account_store_cases, make }
}

/// `seconds` after a day in November.
pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::from_microsecond(1_795_485_286_813_742 + seconds * 1_000_000).expect("a time in this century")
}

pub(crate) fn draft(username: &str) -> NewAccount {
    NewAccount {
        username: username.to_owned(),
        email: format!("{}@example.org", username.to_lowercase()),
        password: PasswordHash("$argon2id$none".to_owned()),
        first_name: String::new(),
        last_name: String::new(),
        role: Role::User,
        status: AccountStatus::Active,
        is_staff: false,
        email_verified: false,
        is_approved: true,
    }
}

pub(crate) async fn insert(store: &Subject, username: &str) -> Account {
    store.insert(&draft(username), at(0), None).await.expect("an account is made")
}

pub(crate) fn session(id: &str, account: AccountId) -> CredentialSession {
    CredentialSession {
        id: id.to_owned(),
        account,
        refresh: RefreshTokens::one(format!("{id}-jti-1")),
        address: "192.0.2.7".to_owned(),
        device: "Firefox – on a machine".to_owned(),
        created_at: at(0),
        refreshed_at: at(0),
        expires_at: at(1_000),
        ended_at: None,
        ended_by_admin: false,
    }
}

pub(crate) async fn open(store: &Subject, id: &str, account: AccountId) -> CredentialSession {
    let session = session(id, account);
    assert!(store.open_session(&session).await.expect("the store answers"), "the session {id} opens");
    session
}

pub(crate) fn line(action: &str) -> AuditEntry {
    AuditEntry { actor: None, action: action.to_owned(), target: None, detail: "because".to_owned(), at: at(0) }
}
