//! Tickets: credentials in an address, for pages that cannot send a header. **A ticket is good once, for thirty seconds.**

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use parking_lot::Mutex;
use presently::Tick;

use crate::problem::Problem;

/// How long a ticket is good.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(30);
/// Tickets at once.
const TICKETS_MAX: usize = 100_000;

/// Those that were not used yet.
#[derive(Default)]
pub(crate) struct Tickets(Mutex<Book>);

#[derive(Default)]
struct Book {
    credentials: HashMap<u128, Box<str>>,
    /// All of them are good for the same time, so the oldest ends first. Used ones stay here until then.
    ends: VecDeque<(Tick, u128)>,
}

impl Book {
    fn tidy(&mut self, now: Tick) {
        while let Some(&(end, number)) = self.ends.front()
            && end <= now
        {
            self.ends.pop_front();
            self.credentials.remove(&number);
        }
    }
}

impl Tickets {
    /// A ticket that stands for these credentials (the text of a bearer token).
    pub(crate) fn make(&self, credential: &str, now: Tick) -> Result<String, Problem> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(Problem::internal)?;
        let number = u128::from_le_bytes(bytes);
        let mut book = self.0.lock();
        book.tidy(now);
        if book.ends.len() >= TICKETS_MAX {
            return Err(Problem::unavailable(
                "too_many_tickets",
                "Too many tickets wait to be used. Try again.",
                "the limit of tickets is reached",
            ));
        }
        book.credentials.insert(number, credential.into());
        book.ends.push_back((now + GOOD_FOR, number));
        Ok(format!("{number:032x}"))
    }

    /// What the ticket stands for, the first time it is asked and in time.
    pub(crate) fn redeem(&self, ticket: &str, now: Tick) -> Option<Box<str>> {
        let plain = ticket.len() == 32 && ticket.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(ticket, 16).ok().filter(|_| plain)?;
        let mut book = self.0.lock();
        book.tidy(now);
        book.credentials.remove(&number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_good_once_and_in_time() {
        let tickets = Tickets::default();
        let ticket = tickets.make("token", Tick(0)).unwrap();
        assert_eq!(ticket.len(), 32);
        let almost = Tick(0) + (GOOD_FOR - Duration::from_micros(1));
        assert_eq!(tickets.redeem(&ticket, almost).as_deref(), Some("token"));
        assert_eq!(tickets.redeem(&ticket, almost), None);
        let late = tickets.make("token", Tick(0)).unwrap();
        assert_eq!(tickets.redeem(&late, Tick(0) + GOOD_FOR), None);
        for text in ["", "x", "+0000000000000000000000000000001"] {
            assert_eq!(tickets.redeem(text, Tick(0)), None);
        }
    }

    #[test]
    fn there_is_a_limit_and_time_makes_room() {
        let tickets = Tickets::default();
        for _ in 0..TICKETS_MAX {
            tickets.make("t", Tick(0)).unwrap();
        }
        assert_eq!(tickets.make("t", Tick(0)).unwrap_err().code(), "too_many_tickets");
        assert!(tickets.make("t", Tick(0) + GOOD_FOR).is_ok());
    }
}
