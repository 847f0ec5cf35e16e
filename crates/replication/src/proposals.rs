//! What this node wants decided. **A proposal is answered exactly once**: when it is followed in the log, when this node decides it
//! partitioned, or by the drop of its completion.
//!
//! Proposals are put into the log in the order in which they were made, each with a count. What was appended is in flight until the
//! applier comes to it; whether an append that failed reached the log is not known, so it is appended again with the same
//! counts, and who follows drops what it has seen.

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use presently_core::cluster::{Act, Entry, Node};
use presently_core::{Now, Tick, Timestamp};

use crate::{VeilRow, frame};

/// What is to be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// By the engine.
    Act(Act),
    /// A veil is drawn over the user, or lifted.
    Veil {
        /// What others saw of them, should they turn out to be offline.
        shown: VeilRow,
    },
}

impl Command {
    /// Whom it is about; `None` when it is about nodes, or about many users.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        match self {
            Self::Act(act) => act.user(),
            Self::Veil { shown } => Some(&shown.user),
        }
    }

    /// Whether it is still true when the node has been a member under another name since.
    #[must_use]
    pub const fn outlives_its_node(&self) -> bool {
        match self {
            Self::Act(act) => act.outlives_its_node(),
            Self::Veil { .. } => true,
        }
    }
}

/// The name and the count under which something was given to the log.
pub type InFlight = (Node, u64);

/// A command, and who waits for it.
#[derive(Debug)]
pub struct Proposal<C> {
    /// What is to be decided.
    pub command: Command,
    /// The proposer's wall clock when it was made.
    pub wall: Timestamp,
    /// When it was made.
    pub at: Tick,
    /// Under which name and count it was given to the log last.
    pub in_flight: Option<InFlight>,
    /// What is left to do once it is decided.
    pub completion: Option<C>,
}

impl<C> Proposal<C> {
    /// One that nobody waits for.
    #[must_use]
    pub const fn new(command: Command, wall: Timestamp, at: Tick) -> Self {
        Self { command, wall, at, in_flight: None, completion: None }
    }
}

/// Why a proposal was not taken.
#[derive(Debug)]
pub enum Refusal<C> {
    /// This node is partitioned, and decides it itself.
    Alone(Box<Proposal<C>>),
    /// There are too many.
    Full(Box<Proposal<C>>),
}

/// What was waited for when the applier came to an entry of this node.
#[derive(Debug)]
pub struct Came<C> {
    /// The proposal of that entry.
    pub found: Option<Proposal<C>>,
    /// How many before it the log has lost.
    pub lost: usize,
}

/// What waits, and what is in flight.
#[derive(Debug)]
pub struct Proposals<C> {
    /// Proposals are taken: this node is a member, or about to be one.
    open: bool,
    /// Not given to the log yet.
    waiting: VecDeque<Proposal<C>>,
    /// Given to the log and not followed yet, by count.
    in_flight: VecDeque<(u64, Proposal<C>)>,
    /// The last count given.
    count: u64,
}

impl<C> Default for Proposals<C> {
    fn default() -> Self {
        Self { open: false, waiting: VecDeque::new(), in_flight: VecDeque::new(), count: 0 }
    }
}

impl<C> Proposals<C> {
    /// Proposals that wait or are in flight at most: beyond it, inputs are refused. Renewals go on.
    pub const MAX: usize = 100_000;
    /// Proposals appended at once.
    pub const BATCH_MAX: usize = 1024;

    /// Takes a proposal.
    ///
    /// # Errors
    /// Gives it back.
    pub fn push(&mut self, proposal: Proposal<C>) -> Result<(), Refusal<C>> {
        if !self.open {
            return Err(Refusal::Alone(Box::new(proposal)));
        }
        if self.len() >= Self::MAX {
            return Err(Refusal::Full(Box::new(proposal)));
        }
        self.waiting.push_back(proposal);
        Ok(())
    }

    /// From now on proposals are taken.
    pub const fn open(&mut self) {
        self.open = true;
    }

    /// Whether proposals are taken.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// From now on this node decides by itself: hands over what waits, in order.
    pub fn close(&mut self) -> Vec<Proposal<C>> {
        self.open = false;
        let in_flight = core::mem::take(&mut self.in_flight);
        let waiting = core::mem::take(&mut self.waiting);
        in_flight.into_iter().map(|(_, proposal)| proposal).chain(waiting).collect()
    }

    /// The node begins another life: what was given to the log and is still true waits again.
    pub fn begin_again(&mut self) {
        let in_flight = core::mem::take(&mut self.in_flight).into_iter().map(|(_, proposal)| proposal);
        let waiting = core::mem::take(&mut self.waiting);
        self.waiting = in_flight.chain(waiting).filter(|proposal| proposal.command.outlives_its_node()).collect();
        self.count = 0;
    }

    /// Puts commands in front of what waits: they were decided before.
    pub fn put_first(&mut self, commands: impl IntoIterator<Item = Command, IntoIter: DoubleEndedIterator>, now: Now) {
        for command in commands.into_iter().rev() {
            self.waiting.push_front(Proposal::new(command, now.wall, now.tick));
        }
    }

    /// Takes out acts that the others have followed under a former name of this node: they must not be decided again.
    pub fn take_followed(&mut self, followed: impl Fn(InFlight) -> bool) -> Vec<Proposal<C>> {
        let done = |proposal: &Proposal<C>| {
            // A veil may be drawn twice.
            matches!(proposal.command, Command::Act(_)) && proposal.in_flight.is_some_and(&followed)
        };
        let waiting = core::mem::take(&mut self.waiting);
        let (done, waiting): (Vec<_>, Vec<_>) = waiting.into_iter().partition(done);
        self.waiting = waiting.into();
        done
    }

    /// The next count, for an entry that is no proposal of a user.
    pub const fn next_count(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// Hands over the bytes of what waits, a batch at most; from now on it is in flight.
    pub fn take(&mut self, node: Node) -> Vec<Vec<u8>> {
        let number = self.waiting.len().min(Self::BATCH_MAX);
        let mut frames = Vec::with_capacity(number);
        for mut proposal in self.waiting.drain(..number) {
            self.count += 1;
            proposal.in_flight = Some((node, self.count));
            frames.push(frame::encode(node, self.count, proposal.wall, &proposal.command));
            self.in_flight.push_back((self.count, proposal));
        }
        frames
    }

    /// Whether something waits for its turn.
    #[must_use]
    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The applier came to this entry of this node. What was given before it and did not come is not in the log, which lost it, and
    /// never will be: it waits again.
    pub fn followed(&mut self, entry: &Entry) -> Came<C> {
        let come = self.in_flight.partition_point(|(count, _)| *count <= entry.count);
        let mut come: VecDeque<_> = self.in_flight.drain(..come).collect();
        let found = come.pop_back_if(|(count, _)| *count == entry.count).map(|(_, proposal)| proposal);
        let lost = come.len();
        for (_, proposal) in come.into_iter().rev().filter(|(_, proposal)| proposal.command.outlives_its_node()) {
            self.waiting.push_front(proposal);
        }
        Came { found, lost }
    }

    /// Since when the eldest in flight is waited for.
    #[must_use]
    pub fn in_flight_since(&self) -> Option<Tick> {
        self.in_flight.front().map(|(_, proposal)| proposal.at)
    }

    /// How many wait or are in flight.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use presently_core::UserId;

    use super::*;
    use crate::Word;

    const ME: Node = Node(1);

    fn proposals(acts: impl IntoIterator<Item = Act>) -> Proposals<usize> {
        let mut proposals = Proposals::default();
        proposals.open();
        for (number, act) in acts.into_iter().enumerate() {
            let proposal = Proposal::new(Command::Act(act), Timestamp(0), Tick(number as u64));
            assert!(proposals.push(Proposal { completion: Some(number), ..proposal }).is_ok());
        }
        proposals
    }

    fn entry(bytes: &[u8]) -> Entry {
        let Word::Entry(frame) = Word::read(0, bytes) else { panic!("it was just written") };
        frame.entry
    }

    fn bar(user: &str) -> Act {
        Act::Bar { user: user.into() }
    }

    #[test]
    fn what_the_log_has_lost_is_given_again_and_answered_once() {
        let mut proposals = proposals([bar("alice"), bar("bob"), Act::Tick, bar("carol")]);
        let frames = proposals.take(ME);
        let came = proposals.followed(&entry(&frames[3]));
        assert_eq!((came.found.and_then(|mine| mine.completion), came.lost), (Some(3), 3));
        // The tick said that the log was followed so far: it is of no use later.
        let again = proposals.take(ME);
        assert_eq!(again.iter().map(|bytes| entry(bytes).act).collect::<Vec<_>>(), [bar("alice"), bar("bob")]);
        assert!(again.iter().zip(5..).all(|(bytes, count)| entry(bytes).count == count));
        for (number, bytes) in again.iter().enumerate() {
            let came = proposals.followed(&entry(bytes));
            assert_eq!((came.found.and_then(|mine| mine.completion), came.lost), (Some(number), 0));
        }
        assert!(proposals.is_empty());
    }

    #[test]
    fn a_repetition_answers_nobody() {
        let mut proposals = proposals([bar("alice")]);
        let frames = proposals.take(ME);
        assert!(proposals.followed(&entry(&frames[0])).found.is_some());
        let came = proposals.followed(&entry(&frames[0]));
        assert!(came.found.is_none() && came.lost == 0);
    }

    #[test]
    fn in_another_life_what_the_others_have_followed_is_not_given_again() {
        let mut proposals = proposals([bar("alice"), bar("bob"), Act::Tick]);
        drop(proposals.take(ME));
        proposals.begin_again();
        let done = proposals.take_followed(|(node, count)| node == ME && count <= 1);
        assert_eq!(done.into_iter().filter_map(|mine| mine.completion).collect::<Vec<_>>(), [0]);
        let frames = proposals.take(Node(2));
        assert_eq!(frames.len(), 1);
        let left = entry(&frames[0]);
        assert_eq!((left.node, left.count, left.act), (Node(2), 1, bar("bob")));
    }

    #[test]
    fn a_partitioned_node_gets_back_what_waits_in_its_order_and_takes_no_more() {
        let mut proposals = proposals([bar("alice"), bar("bob")]);
        drop(proposals.take(ME));
        let asked = Proposal::new(Command::Act(bar("carol")), Timestamp(0), Tick(9));
        assert!(proposals.push(asked).is_ok());
        let users = proposals.close().into_iter().filter_map(|mine| mine.command.user().map(UserId::from));
        assert_eq!(users.collect::<Vec<_>>(), ["alice", "bob", "carol"]);
        let late = Proposal::new(Command::Act(bar("dave")), Timestamp(0), Tick(9));
        assert!(matches!(proposals.push(late), Err(Refusal::Alone(_))));
    }
}
