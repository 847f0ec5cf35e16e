//! The words that the wire and the disk know. Whoever changes one breaks every client and every store.

use std::vec::Vec;

use crate::{Activity, Reason, Source, Status};

#[test]
fn every_word_is_the_one_that_clients_and_stores_know_and_is_read_back() {
    let statuses = [Status::Offline, Status::Away, Status::Online];
    assert_eq!(statuses.map(Status::as_str), ["offline", "away", "online"]);
    assert_eq!(statuses.map(|status| Status::parse(status.as_str())), statuses.map(Some));

    let activities = [Activity::Idle, Activity::Active];
    assert_eq!(activities.map(Activity::as_str), ["idle", "active"]);
    assert_eq!(activities.map(|activity| Activity::parse(activity.as_str())), activities.map(Some));

    assert_eq!(Source::ALL.map(Source::as_str), ["application", "user", "admin"]);
    assert_eq!(Source::ALL.map(|source| Source::parse(source.as_str())), Source::ALL.map(Some));

    let reasons: Vec<&str> = Reason::ALL.into_iter().map(Reason::as_str).collect();
    assert_eq!(
        reasons,
        [
            "evidence",
            "activity",
            "logout",
            "disconnected",
            "expired",
            "set",
            "override",
            "override_ended",
            "forced_logout",
            "barred",
            "mended",
        ]
    );
    assert_eq!(Reason::ALL.map(|reason| Reason::parse(reason.as_str())), Reason::ALL.map(Some));
}

#[test]
fn other_words_are_none() {
    for word in ["", "Online", "online ", "busy"] {
        assert_eq!(Status::parse(word), None);
        assert_eq!(Activity::parse(word), None);
        assert_eq!(Source::parse(word), None);
        assert_eq!(Reason::parse(word), None);
    }
}

#[test]
fn an_active_session_is_online_and_an_idle_one_away() {
    assert_eq!((Activity::Active.status(), Activity::Idle.status()), (Status::Online, Status::Away));
}
