//! Who holds the connections that the server takes.
//!
//! **Nobody holds much before anything is known of them**: a connection counts for its address until a request on it carried good
//! credentials, and for its user from then on; each may hold a share of the seats. Where there is no room, the connection that has
//! waited longest without credentials and without a request under way makes some: of the newcomer's own address first, so that a
//! flood takes seats from itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

use crate::metrics::{Refused, refused};

/// One address may hold one of so many seats in connections that have not authenticated; one user as many in those that have.
const SHARE: usize = 10;
/// And never fewer than these: as many as a browser and the programs beside it open, with small settings too.
const SHARE_MIN: usize = 16;

/// The seats of one listener.
pub(crate) struct Seats {
    max: usize,
    of_address_max: usize,
    of_user_max: usize,
    book: Mutex<Book>,
    /// Told when the last seat is free.
    empty: Notify,
}

#[derive(Default)]
struct Book {
    taken: usize,
    last: u64,
    /// Those that have not authenticated, by the number of their seat.
    strangers: HashMap<u64, Stranger>,
    /// Those of them that wait, by how long they do: the number of their turn, and that of their seat.
    waiting: BTreeMap<u64, u64>,
    /// The same by their address.
    waiting_by_address: BTreeSet<(IpAddr, u64)>,
    by_address: HashMap<IpAddr, usize>,
    by_user: HashMap<Arc<str>, usize>,
}

struct Stranger {
    /// Whom it counts for: nobody, when it is a trusted proxy.
    address: Option<IpAddr>,
    /// Its turn in the line, when it waits.
    turn: Option<u64>,
    task: Option<AbortHandle>,
}

/// Why there is no seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The address holds its share, and a request is under way on each.
    Address,
    /// All seats are taken by those who authenticated or are being answered.
    All,
}

impl Seats {
    /// So many seats; `of_user_min` of them one user may hold in any case.
    pub(crate) fn new(max: usize, of_user_min: usize) -> Arc<Self> {
        let share = (max / SHARE).max(SHARE_MIN);
        Arc::new(Self {
            max,
            of_address_max: share,
            of_user_max: share.max(of_user_min),
            book: Mutex::default(),
            empty: Notify::new(),
        })
    }

    /// A seat for a connection from `address`; `None` for a trusted proxy.
    pub(crate) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Seat, Full> {
        let mut book = self.book.lock();
        if let Some(address) = address
            && book.by_address.get(&address).is_some_and(|held| *held >= self.of_address_max)
        {
            let longest = book.longest_of(address);
            if !book.evict(longest) {
                return Err(Full::Address);
            }
        }
        if book.taken >= self.max {
            let longest = address.and_then(|address| book.longest_of(address)).or_else(|| book.longest());
            if !book.evict(longest) {
                return Err(Full::All);
            }
        }
        book.taken += 1;
        book.last += 1;
        let number = book.last;
        if let Some(address) = address {
            *book.by_address.entry(address).or_default() += 1;
        }
        book.strangers.insert(number, Stranger { address, turn: None, task: None });
        book.wait(number);
        drop(book);
        let seats = Arc::clone(self);
        let (asked, proven) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Seat(Arc::new(Held { seats, number, asked, proven, user: Mutex::default() })))
    }

    /// Returns when all seats are free.
    pub(crate) async fn emptied(&self) {
        loop {
            let empty = self.empty.notified();
            if self.book.lock().taken == 0 {
                return;
            }
            empty.await;
        }
    }
}

impl Book {
    fn longest(&self) -> Option<u64> {
        self.waiting.first_key_value().map(|(_, number)| *number)
    }

    fn longest_of(&self, address: IpAddr) -> Option<u64> {
        let (_, turn) = self.waiting_by_address.range((address, 0)..=(address, u64::MAX)).next()?;
        self.waiting.get(turn).copied()
    }

    /// Puts a stranger at the end of the line.
    fn wait(&mut self, number: u64) {
        self.last += 1;
        let turn = self.last;
        let Some(stranger) = self.strangers.get_mut(&number) else { return };
        // A proxy carries the requests of many: it makes room for nobody.
        if let (Some(address), None) = (stranger.address, stranger.turn) {
            stranger.turn = Some(turn);
            self.waiting.insert(turn, number);
            self.waiting_by_address.insert((address, turn));
        }
    }

    /// Takes a stranger out of the line; false when there is no such stranger any more.
    fn leave_line(&mut self, number: u64) -> bool {
        let Some(stranger) = self.strangers.get_mut(&number) else { return false };
        if let (Some(address), Some(turn)) = (stranger.address, stranger.turn.take()) {
            self.waiting.remove(&turn);
            self.waiting_by_address.remove(&(address, turn));
        }
        true
    }

    /// Takes a stranger out of the books, but for the seat.
    fn forget(&mut self, number: u64) -> Option<Stranger> {
        self.leave_line(number);
        let stranger = self.strangers.remove(&number)?;
        if let Some(address) = stranger.address {
            let_go(&mut self.by_address, &address);
        }
        Some(stranger)
    }

    /// Ends a connection that waits; its seat is free at once.
    fn evict(&mut self, number: Option<u64>) -> bool {
        let Some(stranger) = number.and_then(|number| self.forget(number)) else { return false };
        self.taken -= 1;
        if let Some(task) = stranger.task {
            task.abort();
        }
        refused(Refused::Evicted);
        true
    }
}

fn let_go<K: std::hash::Hash + Eq>(held: &mut HashMap<K, usize>, by: &K) {
    if let Some(count) = held.get_mut(by) {
        *count -= 1;
        if *count == 0 {
            held.remove(by);
        }
    }
}

/// A connection's seat; free when the last clone is dropped. A socket holds it on after HTTP.
#[derive(Clone)]
pub(crate) struct Seat(Arc<Held>);

struct Held {
    seats: Arc<Seats>,
    number: u64,
    /// A request came.
    asked: AtomicBool,
    /// Credentials on it were good, and its user has the seat.
    proven: AtomicBool,
    user: Mutex<Option<Arc<str>>>,
}

impl Seat {
    /// What ends the connection when it must make room.
    pub(crate) fn ends_with(&self, task: AbortHandle) {
        let mut book = self.0.seats.book.lock();
        if let Some(stranger) = book.strangers.get_mut(&self.0.number) {
            stranger.task = Some(task);
        }
    }

    /// Whether good credentials came on it.
    pub(crate) fn is_somebodys(&self) -> bool {
        self.0.proven.load(Ordering::Relaxed)
    }

    /// A request begins; false when the seat was given away.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked.store(true, Ordering::Relaxed);
        self.is_somebodys() || self.0.seats.book.lock().leave_line(self.0.number)
    }

    /// Whether a request ever came.
    pub(crate) fn was_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// A request was answered, and the next one may come.
    pub(crate) fn is_answered(&self) {
        if !self.is_somebodys() {
            self.0.seats.book.lock().wait(self.0.number);
        }
    }

    /// Good credentials of `user` came. The seat is theirs, unless they hold their share.
    pub(crate) fn is_of(&self, user: &Arc<str>) {
        if self.is_somebodys() {
            return;
        }
        let mut book = self.0.seats.book.lock();
        let held = book.by_user.get(user).copied().unwrap_or_default();
        if held >= self.0.seats.of_user_max || book.forget(self.0.number).is_none() {
            return;
        }
        *book.by_user.entry(Arc::clone(user)).or_default() += 1;
        *self.0.user.lock() = Some(Arc::clone(user));
        self.0.proven.store(true, Ordering::Relaxed);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let user = self.user.lock().take();
        let mut book = self.seats.book.lock();
        let holds = match user {
            Some(user) => {
                let_go(&mut book.by_user, &user);
                true
            }
            // One who made room has left already.
            None => book.forget(self.number).is_some(),
        };
        if holds {
            book.taken -= 1;
        }
        if book.taken == 0 {
            self.seats.empty.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, last]))
    }

    fn taken(seats: &Seats) -> usize {
        seats.book.lock().taken
    }

    #[test]
    fn an_address_holds_a_tenth_and_takes_from_itself() {
        let seats = Seats::new(1_000, 0);
        let flood: Vec<_> = (0..150).map(|_| seats.take(address(1)).ok().unwrap()).collect();
        assert_eq!(taken(&seats), 100);
        assert!(!flood[0].is_asked(), "the first ones made room");
        assert!(flood[149].is_asked());
        drop(flood);
        assert_eq!(taken(&seats), 0);
        assert!(seats.book.lock().by_address.is_empty());
    }

    #[test]
    fn of_small_settings_a_few_are_left_to_each() {
        let seats = Seats::new(100, 0);
        let _flood: Vec<_> = (0..100).map(|_| seats.take(address(1)).ok().unwrap()).collect();
        assert_eq!(taken(&seats), SHARE_MIN);
    }

    #[test]
    fn who_is_being_answered_makes_no_room() {
        let seats = Seats::new(100, 0);
        let asked: Vec<_> = (0..SHARE_MIN).map(|_| seats.take(address(1)).ok().unwrap()).collect();
        assert!(asked.iter().all(Seat::is_asked));
        assert_eq!(seats.take(address(1)).err(), Some(Full::Address));
        let other = seats.take(address(2)).ok().unwrap();
        asked[3].is_answered();
        let newcomer = seats.take(address(1)).ok().unwrap();
        assert!(!asked[3].is_asked());
        assert!(asked[4].is_asked() && newcomer.is_asked() && other.is_asked());
    }

    #[test]
    fn when_all_seats_are_taken_the_longest_silence_makes_room() {
        let seats = Seats::new(40, 0);
        let first: Vec<_> = (0..15).map(|_| seats.take(address(1)).ok().unwrap()).collect();
        let second: Vec<_> = (0..15).map(|_| seats.take(address(2)).ok().unwrap()).collect();
        let third: Vec<_> = (0..12).map(|_| seats.take(address(3)).ok().unwrap()).collect();
        assert_eq!(taken(&seats), 40);
        // The newcomers took from themselves, where they could.
        assert!(first.iter().chain(&second).all(Seat::is_asked));
        assert!(!third[0].is_asked() && !third[1].is_asked() && third[2].is_asked());
    }

    #[test]
    fn where_all_are_busy_or_known_there_is_no_seat() {
        let seats = Seats::new(20, 0);
        let known: Vec<_> = (0..16).map(|_| seats.take(address(1)).ok().unwrap()).collect();
        known.iter().for_each(|seat| seat.is_of(&"alice".into()));
        let proxies: Vec<_> = (0..4).map(|_| seats.take(None).ok().unwrap()).collect();
        assert_eq!(seats.take(address(2)).err(), Some(Full::All));
        drop(proxies);
        assert!(seats.take(address(2)).is_ok());
    }

    #[test]
    fn a_user_holds_a_share_and_the_rest_counts_for_the_address() {
        let seats = Seats::new(1_000, 0);
        let alice: Arc<str> = "alice".into();
        let take = || {
            let seat = seats.take(address(1)).ok().unwrap();
            seat.is_of(&alice);
            seat
        };
        let hers: Vec<_> = (0..250).map(|_| take()).collect();
        assert_eq!(taken(&seats), 200);
        assert!(hers[..100].iter().all(Seat::is_asked), "those that are hers stay");
        assert!(!hers[100].is_asked());
        drop(hers);
        assert!(seats.book.lock().by_user.is_empty());
    }

    #[test]
    fn a_trusted_proxy_is_neither_counted_nor_put_out() {
        let seats = Seats::new(100, 0);
        let proxies: Vec<_> = (0..60).map(|_| seats.take(None).ok().unwrap()).collect();
        let flood: Vec<_> = (0..200).map(|n| seats.take(address(n)).ok().unwrap()).collect();
        assert!(proxies.iter().all(Seat::is_asked));
        assert!(!flood[0].is_asked());
    }

    #[tokio::test]
    async fn the_end_is_told_when_the_last_seat_is_free() {
        let seats = Seats::new(100, 0);
        seats.emptied().await;
        let seat = seats.take(address(1)).ok().unwrap();
        let (emptied, ()) = tokio::join!(seats.emptied(), async {
            tokio::task::yield_now().await;
            drop(seat);
        });
        emptied
    }
}
