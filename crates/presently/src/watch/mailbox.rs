//! What one watcher was told and did not read yet. **Putting never waits and never grows without a limit**: a reader who is far
//! behind gets the newest of each user, and one who watches everybody and is farther behind begins anew.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use parking_lot::Mutex;

use super::stream::Told;
use crate::privacy::Viewer;

/// Transitions kept one by one.
pub(crate) const IN_ORDER_MAX: usize = 1024;
/// Users of whom the newest is kept, for who watches everybody.
pub(crate) const USERS_MAX: usize = 65_536;

#[derive(Debug)]
pub(crate) struct Mailbox {
    pub(crate) viewer: Viewer,
    inbox: Mutex<Inbox>,
}

#[derive(Debug, Default)]
struct Inbox {
    in_order: VecDeque<Arc<Told>>,
    /// The newest of each user, in the place of `in_order`.
    newest: Option<Box<Newest>>,
    /// More users than are kept: nothing is kept until the reader begins anew.
    overflown: bool,
    closed: bool,
    /// Somebody was asked to wake the reader, who did not look since.
    called: bool,
    reader: Option<Waker>,
}

#[derive(Debug, Default)]
struct Newest {
    table: HashTable<Arc<Told>>,
    hasher: RandomState,
}

/// What a reader finds.
pub(crate) enum Mail {
    /// In order.
    Told(Vec<Arc<Told>>),
    /// Too much for the mailbox.
    Overflown,
    /// Nothing, and nothing will come.
    Closed,
}

impl Mailbox {
    pub(crate) fn new(viewer: Viewer) -> Arc<Self> {
        Arc::new(Self { viewer, inbox: Mutex::default() })
    }

    /// Adds what was told; true when the reader must be woken, which is asked for once until they look.
    pub(crate) fn put(&self, told: &Arc<Told>) -> bool {
        let mut inbox = self.inbox.lock();
        if inbox.overflown || inbox.closed {
            return false;
        }
        if inbox.newest.is_none() && inbox.in_order.len() < IN_ORDER_MAX {
            inbox.in_order.push_back(Arc::clone(told));
        } else {
            inbox.conflate(told);
        }
        !std::mem::replace(&mut inbox.called, true)
    }

    /// What is there counts no more: the reader begins anew. True when they must be woken.
    pub(crate) fn renew(&self) -> bool {
        let mut inbox = self.inbox.lock();
        if inbox.closed {
            return false;
        }
        inbox.in_order = VecDeque::new();
        inbox.newest = None;
        inbox.overflown = true;
        !std::mem::replace(&mut inbox.called, true)
    }

    /// Everything that is there.
    pub(crate) fn take(&self) -> Option<Mail> {
        self.inbox.lock().take()
    }

    /// The same, or the reader is woken when there is something.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Mail> {
        let mut inbox = self.inbox.lock();
        match inbox.take() {
            Some(mail) => Poll::Ready(mail),
            None => {
                match &mut inbox.reader {
                    Some(reader) => reader.clone_from(cx.waker()),
                    none => *none = Some(cx.waker().clone()),
                }
                Poll::Pending
            }
        }
    }

    pub(crate) fn wake(&self) {
        let reader = self.inbox.lock().reader.take();
        if let Some(reader) = reader {
            reader.wake();
        }
    }

    /// The number of the oldest that was not read.
    pub(crate) fn oldest(&self) -> Option<u64> {
        let inbox = self.inbox.lock();
        let conflated = inbox.newest.iter().flat_map(|newest| newest.table.iter());
        inbox.in_order.front().into_iter().chain(conflated).map(|told| told.seq).min()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let inbox = self.inbox.lock();
        inbox.in_order.is_empty() && inbox.newest.is_none()
    }

    /// Drops what is there of users for whom `gone` holds.
    pub(crate) fn drop_those(&self, gone: impl Fn(&str) -> bool) {
        let mut inbox = self.inbox.lock();
        inbox.in_order.retain(|told| !gone(&told.presence.user));
        if let Some(newest) = &mut inbox.newest {
            newest.table.retain(|told| !gone(&told.presence.user));
            if newest.table.is_empty() {
                inbox.newest = None;
            }
        }
    }

    /// What is there stays to be read, and then comes the end.
    pub(crate) fn close(&self) {
        self.inbox.lock().closed = true;
        self.wake();
    }
}

impl Inbox {
    fn take(&mut self) -> Option<Mail> {
        self.called = false;
        if std::mem::take(&mut self.overflown) {
            return Some(Mail::Overflown);
        }
        if let Some(newest) = self.newest.take() {
            let mut told: Vec<_> = newest.table.into_iter().collect();
            told.sort_unstable_by_key(|told| told.place);
            return Some(Mail::Told(told));
        }
        if !self.in_order.is_empty() {
            return Some(Mail::Told(std::mem::take(&mut self.in_order).into()));
        }
        self.closed.then_some(Mail::Closed)
    }

    fn conflate(&mut self, told: &Arc<Told>) {
        let in_order = std::mem::take(&mut self.in_order);
        let newest = self.newest.get_or_insert_default();
        for told in in_order.iter().chain([told]) {
            newest.put(told);
        }
        if newest.table.len() > USERS_MAX {
            self.newest = None;
            self.overflown = true;
        }
    }
}

impl Newest {
    fn put(&mut self, told: &Arc<Told>) {
        let Self { table, hasher } = self;
        let user = &told.presence.user;
        let entry = table.entry(
            hasher.hash_one(user),
            |other| other.presence.user == *user,
            |other| hasher.hash_one(&other.presence.user),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(mut entry) => *entry.get_mut() = Arc::clone(told),
            hashbrown::hash_table::Entry::Vacant(entry) => {
                entry.insert(Arc::clone(told));
            }
        }
    }
}
