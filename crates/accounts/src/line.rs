//! The line before the password hasher. **Addresses take turns: however many wait from one of them, the next turn is another's.**

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::hashing::Busy;
use crate::network::Network;

/// Who waits from one address: an office that signs in at nine. The next one is sent away.
const WAITING_OF_ONE_MAX: usize = 64;
/// Who waits in all: some ten seconds of work for one core. Beyond, the longest queue gives its last place to a shorter one.
const WAITING_MAX: usize = 1_024;

/// Places at the hasher, and who waits for one.
pub(crate) struct Line {
    state: Arc<Mutex<State>>,
}

/// **Invariant:** a place is free only while nobody waits.
#[derive(Default)]
struct State {
    free: usize,
    waiting: usize,
    queues: HashMap<Network, VecDeque<oneshot::Sender<Place>>>,
    /// Whose queue is served next; each that waits is in it once.
    turns: VecDeque<Network>,
}

/// A place at the hasher. Dropped, it goes to whoever is next.
pub(crate) struct Place(Option<Arc<Mutex<State>>>);

impl Line {
    pub(crate) fn new(places: usize) -> Self {
        Self { state: Arc::new(Mutex::new(State { free: places, ..State::default() })) }
    }

    /// A place, perhaps after a wait.
    pub(crate) async fn place(&self, network: Network) -> Result<Place, Busy> {
        let turn = {
            let mut state = self.state.lock();
            if state.free > 0 {
                state.free -= 1;
                return Ok(Place(Some(Arc::clone(&self.state))));
            }
            state.queue(network)?
        };
        turn.await.map_err(|_| Busy)
    }
}

impl State {
    fn queue(&mut self, network: Network) -> Result<oneshot::Receiver<Place>, Busy> {
        let mut ours = self.queues.get(&network).map_or(0, VecDeque::len);
        if ours >= WAITING_OF_ONE_MAX {
            ours = self.forget_the_gone(network);
        }
        if ours >= WAITING_OF_ONE_MAX || (self.waiting >= WAITING_MAX && !self.make_room(ours)) {
            return Err(Busy);
        }
        let (sender, turn) = oneshot::channel();
        let queue = self.queues.entry(network).or_default();
        if queue.is_empty() {
            self.turns.push_back(network);
        }
        queue.push_back(sender);
        self.waiting += 1;
        Ok(turn)
    }

    /// Drops those of a queue who left; returns how many stay. The newest stays in any case: who has turns has somebody.
    fn forget_the_gone(&mut self, network: Network) -> usize {
        let Some(queue) = self.queues.get_mut(&network) else { return 0 };
        let (before, mut place) = (queue.len(), 0);
        queue.retain(|waiting| {
            place += 1;
            place == before || !waiting.is_closed()
        });
        self.waiting -= before - queue.len();
        queue.len()
    }

    /// Sends the last of the longest queue away, if it is longer than `ours` will be.
    fn make_room(&mut self, ours: usize) -> bool {
        let longest = self.queues.values_mut().max_by_key(|queue| queue.len());
        let Some(longest) = longest.filter(|queue| queue.len() > ours + 1) else { return false };
        longest.pop_back();
        self.waiting -= 1;
        true
    }

    /// Whoever is next; when there is nobody, the place is free.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        while let Some(network) = self.turns.pop_front() {
            let Some(queue) = self.queues.get_mut(&network) else { continue };
            let next = queue.pop_front();
            if queue.is_empty() {
                self.queues.remove(&network);
            } else {
                self.turns.push_back(network);
            }
            if next.is_some() {
                self.waiting -= 1;
                return next;
            }
        }
        self.free += 1;
        None
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(state) = self.0.take() else { return };
        loop {
            let Some(next) = state.lock().next() else { return };
            match next.send(Self(Some(Arc::clone(&state)))) {
                Ok(()) => return,
                // They left: it is still ours to give.
                Err(mut place) => drop(place.0.take()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::polled::poll_once;

    fn network(number: u32) -> Network {
        Network::of(std::net::Ipv4Addr::from(number).into())
    }

    fn waiting(line: &Line) -> (usize, usize, usize) {
        let state = line.state.lock();
        (state.waiting, state.queues.values().map(VecDeque::len).sum(), state.turns.len())
    }

    #[tokio::test]
    async fn who_comes_alone_is_next_however_many_wait_from_another_address() {
        let line = Line::new(1);
        let first = line.place(network(1)).await.expect("it is free");
        let mut many: Vec<_> = (0..64).map(|_| Box::pin(line.place(network(1)))).collect();
        for one in &mut many {
            assert!(poll_once(one.as_mut()).await.is_none(), "it waits");
        }
        assert!(line.place(network(1)).await.is_err(), "the queue of one address has an end");
        let mut other = Box::pin(line.place(network(2)));
        assert!(poll_once(other.as_mut()).await.is_none(), "it waits");
        drop(first);
        let second = poll_once(many[0].as_mut()).await.expect("who waits longest").expect("a place");
        assert!(poll_once(other.as_mut()).await.is_none(), "one at a time");
        drop(second);
        let third = poll_once(other.as_mut()).await.expect("the other address is next").expect("a place");
        drop(third);
        for one in many.iter_mut().skip(1) {
            drop(poll_once(one.as_mut()).await.expect("each has a turn").expect("a place"));
        }
        assert_eq!(waiting(&line), (0, 0, 0));
        assert_eq!(line.state.lock().free, 1);
    }

    #[tokio::test]
    async fn who_left_is_passed_over_and_makes_room() {
        let line = Line::new(1);
        let held = line.place(network(1)).await.expect("it is free");
        let mut gone: Vec<_> = (0..64).map(|_| Box::pin(line.place(network(1)))).collect();
        for one in &mut gone {
            assert!(poll_once(one.as_mut()).await.is_none(), "it waits");
        }
        drop(gone);
        let mut last = Box::pin(line.place(network(1)));
        assert!(poll_once(last.as_mut()).await.is_none(), "there is room again");
        assert_eq!(waiting(&line), (2, 2, 1), "the newest of those who left keeps the address's turn");
        drop(held);
        drop(poll_once(last.as_mut()).await.expect("it is their turn").expect("a place"));
        assert_eq!((waiting(&line), line.state.lock().free), ((0, 0, 0), 1));
    }

    #[tokio::test]
    async fn who_stays_keeps_their_place_when_others_left() {
        let line = Line::new(1);
        let held = line.place(network(1)).await.expect("it is free");
        let mut stay = Vec::new();
        for number in 0..64 {
            let mut one = Box::pin(line.place(network(1)));
            assert!(poll_once(one.as_mut()).await.is_none(), "it waits");
            if number % 2 == 0 {
                stay.push(one);
            }
        }
        let mut last = Box::pin(line.place(network(1)));
        assert!(poll_once(last.as_mut()).await.is_none(), "there is room");
        stay.push(last);
        assert_eq!(waiting(&line), (34, 34, 1));
        drop(held);
        for one in &mut stay {
            drop(poll_once(one.as_mut()).await.expect("each has a turn, in their order").expect("a place"));
        }
        assert_eq!((waiting(&line), line.state.lock().free), ((0, 0, 0), 1));
    }

    #[tokio::test]
    async fn a_place_that_was_given_to_somebody_who_left_goes_on() {
        let line = Line::new(1);
        let held = line.place(network(1)).await.expect("it is free");
        let mut left = Box::pin(line.place(network(1)));
        assert!(poll_once(left.as_mut()).await.is_none(), "it waits");
        drop(held);
        drop(left);
        assert!(line.place(network(2)).await.is_ok(), "nothing is lost");
    }

    #[tokio::test]
    async fn when_all_is_full_the_longest_queue_gives_way() {
        let line = Line::new(1);
        let _held = line.place(network(0)).await.expect("it is free");
        let mut all = Vec::new();
        for address in 1..=16 {
            for _ in 0..64 {
                let mut one = Box::pin(line.place(network(address)));
                assert!(poll_once(one.as_mut()).await.is_none(), "it waits");
                all.push(one);
            }
        }
        assert_eq!(waiting(&line).0, WAITING_MAX);
        let mut other = Box::pin(line.place(network(99)));
        assert!(poll_once(other.as_mut()).await.is_none(), "it has a place in the line");
        assert_eq!(waiting(&line).0, WAITING_MAX);
        let mut sent_away = 0;
        for one in &mut all {
            sent_away += usize::from(poll_once(one.as_mut()).await.is_some_and(|place| place.is_err()));
        }
        assert_eq!(sent_away, 1, "for one who came, one went");
        // One of the full queues is shorter by one; the next of that address would make it as long as the others.
        let short = (1..=16).find(|&address| line.state.lock().queues[&network(address)].len() == 63);
        let short = short.expect("the one that gave way");
        assert!(line.place(network(short)).await.is_err(), "no queue is longer than its own would be");
        assert_eq!(waiting(&line), (WAITING_MAX, WAITING_MAX, 17));
    }
}
