//! Who is connected. **Connections are limited in all and for each user**; one that ends makes room at once.
//!
//! A socket whose first frame will say who it is holds one of a few places meanwhile: where there is none, the one that said nothing for longest
//! leaves, of the newcomer's own address first.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::metrics::{Refused, refused};
use crate::problem::Problem;

/// Of the connections that the server takes, this share may be streams and sockets; the rest is for requests.
const SHARE: (usize, usize) = (9, 10);
/// One in so many may be a socket that has not said who it is.
const STRANGERS_SHARE: usize = 100;
/// And never fewer than these: the tabs that a browser opens at once.
const STRANGERS_MIN: usize = 8;

/// All streams and sockets of this server.
pub(crate) struct Crowd {
    in_all_max: usize,
    strangers_max: usize,
    per_user_max: usize,
    people: Mutex<People>,
}

#[derive(Default)]
struct People {
    in_all: usize,
    by_user: HashMap<Arc<str>, OfUser>,
    /// Sockets that have not said who they are, in the order in which they came.
    strangers: BTreeMap<u64, Stranger>,
    strangers_ever: u64,
}

struct Stranger {
    address: IpAddr,
    /// Told when it has to leave.
    leave: Arc<Notify>,
}

#[derive(Default)]
struct OfUser {
    connections: usize,
    /// The sockets among them, by the number in their session's name.
    sockets: Vec<u64>,
    /// An administrator ended the sessions of this user since the first of the connections began.
    forced_out: bool,
}

impl OfUser {
    fn is_empty(&self) -> bool {
        self.connections == 0
    }
}

impl Crowd {
    pub(crate) fn new(connections_max: usize, per_user_max: usize) -> Self {
        let in_all_max = (connections_max / SHARE.1 * SHARE.0).max(1);
        let strangers_max = (connections_max / STRANGERS_SHARE).max(STRANGERS_MIN);
        Self { in_all_max, strangers_max, per_user_max, people: Mutex::default() }
    }

    /// A place for one connection of nobody in particular.
    pub(crate) fn enter(self: &Arc<Self>) -> Result<Place, Problem> {
        self.enter_among(&mut self.people.lock())
    }

    /// A place for a socket that will say who it is, and what tells that it has to leave before that.
    pub(crate) fn enter_as_stranger(self: &Arc<Self>, address: IpAddr) -> Result<(Place, Arc<Notify>), Problem> {
        let mut people = self.people.lock();
        let mut place = self.enter_among(&mut people)?;
        if people.strangers.len() >= self.strangers_max {
            let own = people.strangers.iter().find(|(_, stranger)| stranger.address == address);
            let leaves = own.or_else(|| people.strangers.first_key_value()).map(|(number, _)| *number);
            if let Some(stranger) = leaves.and_then(|number| people.strangers.remove(&number)) {
                stranger.leave.notify_one();
                refused(Refused::Socket);
            }
        }
        let leave = Arc::new(Notify::new());
        people.strangers_ever += 1;
        let number = people.strangers_ever;
        people.strangers.insert(number, Stranger { address, leave: Arc::clone(&leave) });
        place.stranger = Some(number);
        Ok((place, leave))
    }

    fn enter_among(self: &Arc<Self>, people: &mut People) -> Result<Place, Problem> {
        if people.in_all >= self.in_all_max {
            return Err(Problem::unavailable(
                "too_many_connections",
                "The server holds as many streams and sockets as it may. Try again later.",
                "the limit of streams and sockets is reached",
            ));
        }
        people.in_all += 1;
        Ok(Place { crowd: Arc::clone(self), user: None, socket: None, stranger: None })
    }

    /// An administrator ended the sessions of this user.
    pub(crate) fn force_out(&self, user: &str) {
        if let Some(of_user) = self.people.lock().by_user.get_mut(user) {
            of_user.forced_out = true;
        }
    }

    /// Whether that happened since the first of their connections began.
    pub(crate) fn was_forced_out(&self, user: &str) -> bool {
        self.people.lock().by_user.get(user).is_some_and(|of_user| of_user.forced_out)
    }

    /// How many there are of each user.
    pub(crate) fn by_user(&self) -> Vec<(Arc<str>, usize)> {
        let people = self.people.lock();
        people.by_user.iter().map(|(user, of_user)| (Arc::clone(user), of_user.connections)).collect()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.people.lock().in_all
    }
}

/// The place of one connection; free when it is dropped.
pub(crate) struct Place {
    crowd: Arc<Crowd>,
    user: Option<Arc<str>>,
    socket: Option<u64>,
    /// Its number among those that have not said who they are.
    stranger: Option<u64>,
}

impl Place {
    /// It is this user's.
    pub(crate) fn belongs_to(&mut self, user: &Arc<str>) -> Result<(), Problem> {
        if self.user.is_some() {
            return Ok(());
        }
        let mut people = self.crowd.people.lock();
        let (user, of_user) = match people.by_user.entry(Arc::clone(user)) {
            Entry::Occupied(entry) => (Arc::clone(entry.key()), entry.into_mut()),
            Entry::Vacant(entry) => (Arc::clone(entry.key()), entry.insert(OfUser::default())),
        };
        if of_user.connections >= self.crowd.per_user_max {
            return Err(Problem::too_many(
                "too_many_connections",
                format!("A user may have at most {} streams and sockets at once.", self.crowd.per_user_max),
            ));
        }
        of_user.connections += 1;
        self.user = Some(user);
        if let Some(number) = self.stranger.take() {
            people.strangers.remove(&number);
        }
        Ok(())
    }

    /// A number for the session of this socket: the first of `orphans` that no socket has, else `fresh`.
    pub(crate) fn number(&mut self, orphans: impl Iterator<Item = u64>, fresh: u64) -> u64 {
        let mut people = self.crowd.people.lock();
        let Some(of_user) = self.user.as_ref().and_then(|user| people.by_user.get_mut(user)) else { return fresh };
        let mut orphans = orphans;
        let number = orphans.find(|number| !of_user.sockets.contains(number)).unwrap_or(fresh);
        of_user.sockets.push(number);
        self.socket = Some(number);
        number
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut people = self.crowd.people.lock();
        people.in_all = people.in_all.saturating_sub(1);
        if let Some(number) = self.stranger {
            people.strangers.remove(&number);
        }
        let Some(user) = &self.user else { return };
        if let Some(of_user) = people.by_user.get_mut(user) {
            of_user.connections = of_user.connections.saturating_sub(1);
            of_user.sockets.retain(|&number| Some(number) != self.socket);
            if of_user.is_empty() {
                people.by_user.remove(user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(connections_max: usize, per_user_max: usize) -> Arc<Crowd> {
        Arc::new(Crowd::new(connections_max, per_user_max))
    }

    #[test]
    fn a_place_that_is_left_is_free() {
        let crowd = crowd(20, 1);
        let alice: Arc<str> = "alice".into();
        let mut place = crowd.enter().ok().unwrap();
        place.belongs_to(&alice).unwrap();
        let mut second = crowd.enter().ok().unwrap();
        assert_eq!(second.belongs_to(&alice).unwrap_err().code(), "too_many_connections");
        drop(place);
        second.belongs_to(&alice).unwrap();
        drop(second);
        assert_eq!(crowd.len(), 0);
        assert!(crowd.people.lock().by_user.is_empty());
    }

    #[test]
    fn a_share_of_the_connections_is_left_for_requests() {
        let crowd = crowd(20, 50);
        let places: Vec<_> = (0..18).map(|_| crowd.enter().ok().unwrap()).collect();
        assert_eq!(crowd.enter().err().unwrap().code(), "too_many_connections");
        drop(places);
        assert!(crowd.enter().is_ok());
    }

    #[test]
    fn strangers_make_room_for_strangers_and_of_their_own_address_first() {
        let crowd = crowd(900, 50);
        let enter = |last: u8| crowd.enter_as_stranger(IpAddr::from([192, 0, 2, last])).ok().unwrap();
        let has_to_leave = |leave: &Notify| {
            let mut told = std::pin::pin!(leave.notified());
            told.as_mut().enable()
        };
        let (mut alices, leave) = enter(1);
        let flood: Vec<_> = (0..30).map(|_| enter(2)).collect();
        assert_eq!(crowd.people.lock().strangers.len(), 9);
        assert!(!has_to_leave(&leave), "the flood takes from itself");
        assert!(has_to_leave(&flood[0].1) && !has_to_leave(&flood[29].1));
        let (_bobs, _) = enter(3);
        assert!(has_to_leave(&leave), "the one that waited longest");
        alices.belongs_to(&"alice".into()).unwrap();
        drop(flood);
        assert_eq!(crowd.people.lock().strangers.len(), 1);
    }

    #[test]
    fn a_session_without_a_socket_is_taken_over_once() {
        let crowd = crowd(20, 50);
        let alice: Arc<str> = "alice".into();
        let mut places: Vec<_> = (0..3).map(|_| crowd.enter().ok().unwrap()).collect();
        places.iter_mut().for_each(|place| place.belongs_to(&alice).unwrap());
        let orphans = [7, 8];
        let numbers: Vec<_> = places.iter_mut().map(|place| place.number(orphans.into_iter(), 99)).collect();
        assert_eq!(numbers, [7, 8, 99]);
        places.remove(0);
        assert_eq!(places[0].number(orphans.into_iter(), 100), 7);
    }

    #[test]
    fn who_was_forced_out_is_remembered_while_they_are_connected() {
        let crowd = crowd(20, 50);
        crowd.force_out("alice");
        assert!(!crowd.was_forced_out("alice"));
        let mut place = crowd.enter().ok().unwrap();
        place.belongs_to(&"alice".into()).unwrap();
        crowd.force_out("alice");
        assert!(crowd.was_forced_out("alice"));
        drop(place);
        assert!(!crowd.was_forced_out("alice"));
    }
}
