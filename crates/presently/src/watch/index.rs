//! Who watches whom. **A user is in the index while somebody watches them**, and what a transition costs goes with their watchers.

use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::RandomState;
use foldhash::quality::FixedState;
use hashbrown::HashTable;
use parking_lot::Mutex;
use presently_core::UserId;

use super::mailbox::Mailbox;

/// A power of two; enough that watchers who come all at once do not stand in line.
const SHARDS: usize = 64;
/// Watchers of one user in a plain list; beyond it they are in a table.
const LISTED_MAX: usize = 16;

pub(crate) struct Index {
    shards: Box<[Mutex<Shard>]>,
    hasher: FixedState,
    /// Everybody who may have to be told of the end.
    all: Mutex<All>,
}

#[derive(Default)]
struct All {
    closed: bool,
    mailboxes: HashTable<Arc<Mailbox>>,
    hasher: RandomState,
}

#[derive(Default)]
struct Shard {
    by_name: HashTable<u32>,
    users: Vec<Option<Watched>>,
    free: Vec<u32>,
}

struct Watched {
    user: UserId,
    watchers: Watchers,
}

/// Mostly few, and sometimes very many.
enum Watchers {
    One(Arc<Mailbox>),
    Listed(Vec<Arc<Mailbox>>),
    Many(Box<Table>),
}

#[derive(Default)]
struct Table {
    table: HashTable<Arc<Mailbox>>,
    hasher: RandomState,
}

/// The place of a watched user, for whoever watches them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot(u32);

impl Index {
    pub(crate) fn new(hasher: FixedState) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher, all: Mutex::default() }
    }

    /// The mailbox is told of this user from now on; `None` when it was before.
    pub(crate) fn add(&self, mailbox: &Arc<Mailbox>, user: &str) -> Option<Slot> {
        let hash = self.hasher.hash_one(user);
        let (place, mut shard) = (place(hash), self.shards[place(hash)].lock());
        let shard = &mut *shard;
        if let Some(&slot) = shard.find(hash, user) {
            let watched = shard.users[slot as usize].as_mut()?;
            return watched.watchers.add(mailbox).then(|| Slot::at(place, slot));
        }
        let watched = Watched { user: user.into(), watchers: Watchers::One(Arc::clone(mailbox)) };
        let slot = shard.free.pop().unwrap_or_else(|| {
            shard.users.push(None);
            u32::try_from(shard.users.len() - 1).unwrap_or(u32::MAX)
        });
        shard.users[slot as usize] = Some(watched);
        let (users, hasher) = (&shard.users, &self.hasher);
        shard.by_name.insert_unique(hash, slot, |&slot| rehash(users, hasher, slot));
        Some(Slot::at(place, slot))
    }

    /// The mailbox is not told of this user any more. Returns the user.
    pub(crate) fn remove(&self, mailbox: &Arc<Mailbox>, slot: Slot) -> Option<UserId> {
        let (place, slot) = slot.place();
        let mut shard = self.shards[place].lock();
        shard.remove(&self.hasher, mailbox, slot)
    }

    /// The same by name; `None` when it was not told of them.
    pub(crate) fn remove_by_name(&self, mailbox: &Arc<Mailbox>, user: &str) -> Option<Slot> {
        let hash = self.hasher.hash_one(user);
        let mut shard = self.shards[place(hash)].lock();
        let slot = *shard.find(hash, user)?;
        shard.remove(&self.hasher, mailbox, slot)?;
        Some(Slot::at(place(hash), slot))
    }

    /// Visits who watches the user, while nobody can come or go.
    pub(crate) fn watchers(&self, hash: u64, user: &str, visitor: &mut dyn FnMut(&Arc<Mailbox>)) {
        let shard = self.shards[place(hash)].lock();
        let watched = shard.find(hash, user).and_then(|&slot| shard.users[slot as usize].as_ref());
        match watched.map(|watched| &watched.watchers) {
            None => {}
            Some(Watchers::One(mailbox)) => visitor(mailbox),
            Some(Watchers::Listed(list)) => list.iter().for_each(visitor),
            Some(Watchers::Many(many)) => many.table.iter().for_each(visitor),
        }
    }

    /// Told of the end, when it comes or has come.
    pub(crate) fn enter(&self, mailbox: &Arc<Mailbox>) {
        let mut all = self.all.lock();
        if all.closed {
            mailbox.close();
        }
        let All { mailboxes, hasher, .. } = &mut *all;
        mailboxes
            .insert_unique(address_hash(hasher, mailbox), Arc::clone(mailbox), |other| address_hash(hasher, other));
    }

    pub(crate) fn leave(&self, mailbox: &Arc<Mailbox>) {
        let mut all = self.all.lock();
        let All { mailboxes, hasher, .. } = &mut *all;
        remove(mailboxes, hasher, mailbox);
    }

    /// How many watchers there are, and how many users somebody watches.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let users = self.shards.iter().map(|shard| shard.lock().by_name.len()).sum();
        (self.all.lock().mailboxes.len(), users)
    }

    /// The user at this place.
    pub(crate) fn name(&self, slot: Slot) -> Option<UserId> {
        let (place, slot) = slot.place();
        let shard = self.shards[place].lock();
        shard.users.get(slot as usize)?.as_ref().map(|watched| watched.user.clone())
    }

    /// Everybody is to begin anew. Returns whom to wake.
    pub(crate) fn renew(&self) -> Vec<Arc<Mailbox>> {
        self.all.lock().mailboxes.iter().filter(|mailbox| mailbox.renew()).cloned().collect()
    }

    pub(crate) fn close(&self) {
        let mut all = self.all.lock();
        all.closed = true;
        all.mailboxes.iter().for_each(|mailbox| mailbox.close());
    }
}

impl Shard {
    fn find(&self, hash: u64, user: &str) -> Option<&u32> {
        self.by_name.find(hash, |&slot| self.users[slot as usize].as_ref().is_some_and(|watched| watched.user == user))
    }

    fn remove(&mut self, hasher: &FixedState, mailbox: &Arc<Mailbox>, slot: u32) -> Option<UserId> {
        let watched = self.users.get_mut(slot as usize)?.as_mut()?;
        if !watched.watchers.remove(mailbox)? {
            return Some(watched.user.clone());
        }
        let watched = self.users[slot as usize].take()?;
        if let Ok(entry) = self.by_name.find_entry(hasher.hash_one(watched.user.as_str()), |&other| other == slot) {
            entry.remove();
        }
        self.free.push(slot);
        if self.by_name.is_empty() {
            *self = Self::default();
        } else if self.by_name.capacity() > 4 * self.by_name.len() + 64 {
            let users = &self.users;
            self.by_name.shrink_to(2 * self.by_name.len(), |&slot| rehash(users, hasher, slot));
        }
        Some(watched.user)
    }
}

impl Watchers {
    /// False when it was there.
    fn add(&mut self, mailbox: &Arc<Mailbox>) -> bool {
        match self {
            Self::One(other) if Arc::ptr_eq(other, mailbox) => false,
            Self::One(other) => {
                *self = Self::Listed(vec![Arc::clone(other), Arc::clone(mailbox)]);
                true
            }
            Self::Listed(list) if list.iter().any(|other| Arc::ptr_eq(other, mailbox)) => false,
            Self::Listed(list) if list.len() < LISTED_MAX => {
                list.push(Arc::clone(mailbox));
                true
            }
            Self::Listed(list) => {
                let mut many = Box::<Table>::default();
                for other in list.drain(..).chain([Arc::clone(mailbox)]) {
                    many.add(other);
                }
                *self = Self::Many(many);
                true
            }
            Self::Many(many) => {
                let there = many.contains(mailbox);
                if !there {
                    many.add(Arc::clone(mailbox));
                }
                !there
            }
        }
    }

    /// True when nobody is left; `None` when it was not there.
    fn remove(&mut self, mailbox: &Arc<Mailbox>) -> Option<bool> {
        match self {
            Self::One(other) => Arc::ptr_eq(other, mailbox).then_some(true),
            Self::Listed(list) => {
                list.swap_remove(list.iter().position(|other| Arc::ptr_eq(other, mailbox))?);
                if let [last] = list.as_slice() {
                    *self = Self::One(Arc::clone(last));
                }
                Some(false)
            }
            Self::Many(many) => {
                let Table { table, hasher } = &mut **many;
                if !remove(table, hasher, mailbox) {
                    return None;
                }
                if table.len() <= LISTED_MAX / 2 {
                    *self = Self::Listed(table.drain().collect());
                } else if table.capacity() > 4 * table.len() {
                    table.shrink_to(2 * table.len(), |other| address_hash(hasher, other));
                }
                Some(false)
            }
        }
    }
}

impl Table {
    fn add(&mut self, mailbox: Arc<Mailbox>) {
        let Self { table, hasher } = self;
        table.insert_unique(address_hash(hasher, &mailbox), mailbox, |other| address_hash(hasher, other));
    }

    fn contains(&self, mailbox: &Arc<Mailbox>) -> bool {
        self.table.find(address_hash(&self.hasher, mailbox), |other| Arc::ptr_eq(other, mailbox)).is_some()
    }
}

impl Slot {
    fn at(place: usize, slot: u32) -> Self {
        Self(slot * SHARDS as u32 + place as u32)
    }

    fn place(self) -> (usize, u32) {
        (self.0 as usize % SHARDS, self.0 / SHARDS as u32)
    }
}

fn remove(table: &mut HashTable<Arc<Mailbox>>, hasher: &RandomState, mailbox: &Arc<Mailbox>) -> bool {
    let found = table.find_entry(address_hash(hasher, mailbox), |other| Arc::ptr_eq(other, mailbox));
    found.map(|entry| drop(entry.remove())).is_ok()
}

/// Not the bits by which the tables place their entries.
fn place(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

fn rehash(users: &[Option<Watched>], hasher: &FixedState, slot: u32) -> u64 {
    users[slot as usize].as_ref().map_or(0, |watched| hasher.hash_one(watched.user.as_str()))
}

fn address_hash(hasher: &RandomState, mailbox: &Arc<Mailbox>) -> u64 {
    hasher.hash_one(Arc::as_ptr(mailbox) as usize)
}
