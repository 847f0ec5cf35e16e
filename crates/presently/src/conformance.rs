//! What every [`Store`] promises, one case a promise: an implementation that passes [`run`] can carry a presence server.
//!
//! ```ignore
//! #[tokio::test]
//! async fn the_store_keeps_its_promises() {
//!     presently::conformance::run(async || Arc::new(MyStore::empty().await) as Arc<dyn Store>).await;
//! }
//! ```
//!
//! Each case gets an empty store of its own. Times have whole microseconds.

mod batches;
mod history;
mod keys;
mod presences;
mod restart;
mod samples;
mod values;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::store::{Store, StoreError};
pub use batches::*;
pub use history::*;
pub use keys::*;
pub use presences::*;
pub use restart::*;
pub use values::*;

/// How a case ends: `Err` is a store that refused; a broken promise panics.
pub type Outcome = Result<(), StoreError>;
type Case = fn(Arc<dyn Store>) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        /// The promises in words, with what checks them.
        pub const PROMISES: &[(&str, Case)] = &[$((stringify!($name), |store| Box::pin($name(store)))),*];
    };
}

promises![
    an_empty_store_knows_nobody,
    a_batch_is_kept_whole,
    a_large_batch_is_kept_whole,
    an_empty_batch_changes_nothing,
    a_last_seen_of_none_keeps_the_older_one,
    a_first_last_seen_of_none_stays_unknown,
    the_newest_presence_wins,
    a_session_row_is_replaced_by_its_number,
    a_session_may_open_anew_in_the_batch_that_ends_it,
    an_override_is_one_per_user_and_source,
    a_held_status_is_one_per_user,
    a_veil_is_one_per_user,
    each_sight_has_its_own_history,
    an_erased_user_leaves_nothing,
    erasing_comes_before_the_rest_of_the_batch,
    ending_what_is_not_there_is_no_error,
    load_skips_offline_presences,
    load_hands_over_in_the_promised_order,
    evidence_comes_back_as_it_was_packed,
    evidence_of_one_moment_is_all_kept,
    evidence_older_than_asked_is_dropped,
    presences_come_in_the_order_asked,
    ten_thousand_presences_come_at_once,
    present_pages_are_ordered_and_complete,
    transitions_of_a_window_are_oldest_first,
    transitions_beyond_the_limit_are_the_newest,
    transitions_of_one_moment_keep_their_order,
    the_transition_before_a_moment_is_found,
    changes_of_numbers_are_told_by_slices,
    the_beginning_of_the_history_is_known,
    pruning_is_bounded_and_spares_the_young,
    any_name_comes_back_as_it_was,
    any_moment_comes_back_as_it_was,
    every_word_comes_back_as_it_was,
    a_healthy_store_passes_the_probe,
];

/// Runs every case, each on a store made by `make`, and panics with the names of the promises that were broken.
///
/// # Panics
/// When a promise is broken: that is what it is for.
pub async fn run(make: impl AsyncFn() -> Arc<dyn Store>) {
    let mut broken = Vec::new();
    for (name, case) in PROMISES {
        let store = make().await;
        match tokio::spawn(case(store)).await {
            Ok(Ok(())) => {}
            Ok(Err(refused)) => broken.push(format!("{name}: {refused}")),
            Err(panicked) => broken.push(format!("{name}: {panicked}")),
        }
    }
    assert!(broken.is_empty(), "broken promises:\n{}", broken.join("\n"));
}
