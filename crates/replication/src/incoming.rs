//! The log while a snapshot is on its way. **Nothing that comes after the snapshot's place is lost, and nobody is waited for who is gone.**

use alloc::vec::Vec;

use presently_core::cluster::{Act, Node};

use crate::{End, Word};

/// What was read meanwhile.
#[derive(Debug)]
pub struct Incoming {
    /// What it held, to be followed in the snapshot.
    pub words: Vec<(u64, Word)>,
    /// The last place that was read.
    pub to: u64,
    /// Who may have the state of all: whoever was there before, or says so.
    pub donors: Vec<Node>,
    /// Who joined since and has no state yet.
    pub waiting: Vec<Node>,
}

impl Incoming {
    /// Words held back until the snapshot is there: with more of them, it is asked for again.
    pub const MAX: usize = 1_000_000;

    /// Of a node that joined at the place `to`, where these were members.
    #[must_use]
    pub fn new(me: Node, to: u64, donors: Vec<Node>) -> Self {
        Self { words: Vec::new(), to, donors, waiting: [me].into() }
    }

    /// Holds back the next word.
    ///
    /// # Errors
    /// This node is no member any more, waited for too long, or cannot read it.
    pub fn hold(&mut self, me: Node, seq: u64, word: Word) -> Result<(), End> {
        self.to = seq;
        match &word {
            // Nobody could give this node what it is to go on with.
            Word::Founded(founder) if *founder == me => self.donors.clear(),
            Word::Founded(founder) => self.donors = [*founder].into(),
            Word::Unread(error) if error.is_newer() => return Err(End::Newer),
            Word::Unread(_) | Word::Knows(_) => {}
            Word::Entry(frame) => {
                let by = frame.entry.node;
                let (waits, gives) = (self.waiting.contains(&by), self.donors.contains(&by));
                match frame.entry.act {
                    Act::Lost { node, .. } => {
                        self.donors.retain(|&other| other != node);
                        self.waiting.retain(|&other| other != node);
                    }
                    Act::Joined if !waits && !gives => self.waiting.push(by),
                    Act::Tick if waits && !gives => self.donors.push(by),
                    _ => {}
                }
            }
        }
        self.words.push((seq, word));
        if self.words.len() > Self::MAX || !self.waiting.contains(&me) { Err(End::Lost) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use presently_core::Timestamp;
    use presently_core::cluster::DecodeError;

    use super::*;
    use crate::{Followed, founded, word_of};

    const ME: Node = Node(1);
    const DONOR: Node = Node(2);
    const THIRD: Node = Node(3);

    fn said(node: Node, act: Act) -> Word {
        Word::read(0, &word_of(node, 9, Timestamp(0), act))
    }

    #[test]
    fn who_is_gone_is_not_waited_for_and_who_caught_up_may_give_a_snapshot() {
        let mut incoming = Incoming::new(ME, 10, [DONOR].into());
        assert_eq!(incoming.hold(ME, 11, said(THIRD, Act::Joined)), Ok(()));
        assert_eq!(incoming.hold(ME, 12, said(THIRD, Act::Lost { node: DONOR, heir: THIRD })), Ok(()));
        assert!(incoming.donors.is_empty(), "nobody who is there has the state");
        assert_eq!(incoming.hold(ME, 13, said(THIRD, Act::Tick)), Ok(()));
        assert_eq!((&incoming.donors[..], incoming.to), (&[THIRD][..], 13));
        assert_eq!(incoming.words.len(), 3);
        assert_eq!(incoming.hold(ME, 14, said(THIRD, Act::Lost { node: ME, heir: THIRD })), Err(End::Lost));
    }

    #[test]
    fn what_a_newer_program_wrote_ends_the_joining_and_garbage_does_not() {
        let mut incoming = Incoming::new(ME, 10, [DONOR].into());
        assert_eq!(incoming.hold(ME, 11, Word::Unread(DecodeError::GARBAGE)), Ok(()));
        assert_eq!(incoming.hold(ME, 12, Word::Unread(DecodeError::NEWER)), Err(End::Newer));
    }

    #[test]
    fn a_snapshot_of_another_state_than_the_founders_is_not_gone_on_with() {
        let mut incoming = Incoming::new(ME, 10, [DONOR].into());
        assert_eq!(incoming.hold(ME, 11, Word::read(11, &founded(THIRD))), Ok(()));
        assert_eq!(incoming.donors, [THIRD]);
        let mut snapshot = Followed { seq: 10, ..Followed::default() };
        snapshot.view.found(DONOR, [ME]);
        let Some((11, Word::Founded(founder))) = incoming.words.last() else { panic!("the word is not held back") };
        assert_eq!(snapshot.founded_by(*founder), Err(End::Lost));
    }
}
