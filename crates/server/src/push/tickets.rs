//! Tickets: credentials in an address, for pages that cannot send a header. **A ticket is good once, for thirty seconds.**
//!
//! One server alone keeps them in its memory. Of several, each takes those of all: they are in the database then, each sealed with
//! itself, so that nobody who reads the database has anybody's credentials. Such a ticket also carries a mark that only a node
//! can make: what is made up is refused without asking the database.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use presently::{Now, Tick, Timestamp};
use presently_sql::PostgresStores;
use presently_sql::postgres::NewTicket;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use ring::{digest, hmac};
use subtle::ConstantTimeEq as _;

use crate::problem::Problem;

/// How long a ticket is good.
pub(crate) const GOOD_FOR: Duration = Duration::from_secs(30);
/// Tickets at once, of one node.
const TICKETS_MAX: usize = 100_000;
/// Unused tickets of one user, of all nodes together: a page needs one for each connection it opens.
const OF_USER_MAX: u32 = 100;
/// Bytes of a number, and of a mark.
const BYTES: usize = 16;

/// Those that were not used yet.
pub(crate) struct Tickets {
    book: Mutex<Book>,
    /// Where there are several nodes.
    shared: Option<Shared>,
}

#[derive(Default)]
struct Book {
    unused: HashMap<u128, Ticket>,
    /// How many of them each user has.
    by_user: HashMap<Arc<str>, u32>,
    /// All of them are good for the same time, so the oldest ends first. Used ones stay here until then.
    ends: VecDeque<(Tick, u128)>,
}

struct Ticket {
    credential: Box<str>,
    /// Whose it is, unless it is an application's.
    user: Option<Arc<str>>,
}

struct Shared {
    stores: PostgresStores,
    /// What all nodes have, and nobody else.
    key: hmac::Key,
}

impl Book {
    fn tidy(&mut self, now: Tick) {
        while let Some(&(end, number)) = self.ends.front()
            && end <= now
        {
            self.ends.pop_front();
            self.take(number);
        }
    }

    fn take(&mut self, number: u128) -> Option<Ticket> {
        let ticket = self.unused.remove(&number)?;
        if let Some(user) = &ticket.user
            && let Some(unused) = self.by_user.get_mut(user)
        {
            *unused -= 1;
            if *unused == 0 {
                self.by_user.remove(user);
            }
        }
        Some(ticket)
    }
}

impl Tickets {
    /// For one server alone.
    pub(crate) fn here() -> Self {
        Self { book: Mutex::default(), shared: None }
    }

    /// For the nodes that share a database and the secret that signs tokens.
    pub(crate) fn shared(stores: PostgresStores, secret: &[u8]) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), b"presently tickets");
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.as_ref());
        Self { book: Mutex::default(), shared: Some(Shared { stores, key }) }
    }

    /// A ticket that stands for these credentials (the text of a bearer token) of `user`, or of an application.
    pub(crate) async fn make(&self, credential: &str, user: Option<&Arc<str>>, now: Now) -> Result<String, Problem> {
        let mut bytes = [0; BYTES];
        getrandom::fill(&mut bytes).map_err(Problem::internal)?;
        let number = u128::from_be_bytes(bytes);
        {
            let mut book = self.book.lock();
            book.tidy(now.tick);
            if book.ends.len() >= TICKETS_MAX {
                return Err(Problem::unavailable(
                    "too_many_tickets",
                    "Too many tickets wait to be used. Try again.",
                    "the limit of tickets is reached",
                ));
            }
            if self.shared.is_none() {
                if let Some(user) = user {
                    let unused = book.by_user.entry(Arc::clone(user)).or_default();
                    if *unused >= OF_USER_MAX {
                        return Err(too_many_of_user());
                    }
                    *unused += 1;
                }
                book.unused.insert(number, Ticket { credential: credential.into(), user: user.cloned() });
            }
            book.ends.push_back((now.tick + GOOD_FOR, number));
        }
        match &self.shared {
            None => Ok(hex(&bytes)),
            Some(shared) => shared.make(bytes, credential, user, now.wall).await,
        }
    }

    /// What the ticket stands for, the first time it is asked and in time.
    pub(crate) async fn redeem(&self, ticket: &str, now: Now) -> Result<Option<Box<str>>, Problem> {
        if let Some(shared) = &self.shared {
            return shared.redeem(ticket, now.wall).await;
        }
        let Some(number) = unhex::<BYTES>(ticket).map(u128::from_be_bytes) else { return Ok(None) };
        let mut book = self.book.lock();
        book.tidy(now.tick);
        Ok(book.take(number).map(|ticket| ticket.credential))
    }

    /// Drops what ended.
    pub(crate) async fn tidy(&self, now: Now) {
        self.book.lock().tidy(now.tick);
        if let Some(shared) = &self.shared
            && let Err(error) = shared.stores.drop_tickets(now.wall).await
        {
            tracing::debug!(%error, "tickets that ended stay for another minute");
        }
    }
}

impl Shared {
    async fn make(
        &self,
        number: [u8; BYTES],
        credential: &str,
        user: Option<&Arc<str>>,
        now: Timestamp,
    ) -> Result<String, Problem> {
        let mut sealed = credential.as_bytes().to_vec();
        self.seal(&number)?
            .seal_in_place_append_tag(nonce(), Aad::empty(), &mut sealed)
            .map_err(|_| Problem::internal("a ticket could not be sealed"))?;
        let ends_at = Timestamp(now.0.saturating_add(i64::try_from(GOOD_FOR.as_micros()).unwrap_or(i64::MAX)));
        let user = user.map(|user| user.as_ref().to_owned()).unwrap_or_default();
        let ticket = NewTicket { digest: name(&number), sealed, ends_at, user };
        if !self.stores.keep_ticket(ticket, now, OF_USER_MAX).await.map_err(presently::Error::from)? {
            return Err(too_many_of_user());
        }
        Ok(hex(&number) + &hex(&self.mark(&number)))
    }

    async fn redeem(&self, ticket: &str, now: Timestamp) -> Result<Option<Box<str>>, Problem> {
        let Some((number, mark)) = ticket.split_at_checked(2 * BYTES) else { return Ok(None) };
        let (Some(number), Some(mark)) = (unhex::<BYTES>(number), unhex::<BYTES>(mark)) else { return Ok(None) };
        if !bool::from(mark.ct_eq(&self.mark(&number))) {
            return Ok(None);
        }
        let kept = self.stores.take_ticket(name(&number), now).await.map_err(presently::Error::from)?;
        let Some(mut sealed) = kept else { return Ok(None) };
        let opened = self.seal(&number)?.open_in_place(nonce(), Aad::empty(), &mut sealed);
        Ok(opened.ok().and_then(|credential| std::str::from_utf8(credential).ok()).map(Into::into))
    }

    /// What only a node can say of this number.
    fn mark(&self, number: &[u8; BYTES]) -> [u8; BYTES] {
        let mut mark = [0; BYTES];
        mark.iter_mut().zip(self.derive(b"mark", number).as_ref()).for_each(|(byte, derived)| *byte = *derived);
        mark
    }

    /// A key that seals one credential, ever.
    fn seal(&self, number: &[u8; BYTES]) -> Result<LessSafeKey, Problem> {
        let key = self.derive(b"seal", number);
        let key = UnboundKey::new(&CHACHA20_POLY1305, key.as_ref());
        key.map(LessSafeKey::new).map_err(|_| Problem::internal("a ticket has no key"))
    }

    fn derive(&self, purpose: &[u8], number: &[u8; BYTES]) -> hmac::Tag {
        hmac::sign(&self.key, &[purpose, number].concat())
    }
}

fn too_many_of_user() -> Problem {
    Problem::too_many(
        "too_many_tickets",
        format!("A user may have at most {OF_USER_MAX} unused tickets. Try again later."),
    )
}

/// Each key is used once.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

/// Under which a ticket is kept: not the ticket.
fn name(number: &[u8; BYTES]) -> [u8; 32] {
    let mut name = [0; 32];
    name.copy_from_slice(digest::digest(&digest::SHA256, number).as_ref());
    name
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let plain = text.len() == 2 * N && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks(2)).filter(|_| plain) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    plain.then_some(bytes)
}

#[cfg(test)]
mod tests {
    use presently_sql::postgres::OpenOptions;
    use presently_testkit::Postgres;

    use super::*;

    fn at(micros: u64) -> Now {
        Now { tick: Tick(micros), wall: Timestamp(micros.cast_signed()) }
    }

    const END: u64 = GOOD_FOR.as_micros() as u64;

    #[tokio::test]
    async fn a_ticket_is_good_once_and_in_time() {
        let tickets = Tickets::here();
        let ticket = tickets.make("token", None, at(0)).await.unwrap();
        assert_eq!(ticket.len(), 32);
        assert_eq!(tickets.redeem(&ticket, at(END - 1)).await.unwrap().as_deref(), Some("token"));
        assert_eq!(tickets.redeem(&ticket, at(END - 1)).await.unwrap(), None);
        let late = tickets.make("token", None, at(0)).await.unwrap();
        assert_eq!(tickets.redeem(&late, at(END)).await.unwrap(), None);
        for text in ["", "x", "+0000000000000000000000000000001", "é"] {
            assert_eq!(tickets.redeem(text, at(0)).await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn there_is_a_limit_and_time_makes_room() {
        let tickets = Tickets::here();
        for _ in 0..TICKETS_MAX {
            tickets.make("t", None, at(0)).await.unwrap();
        }
        assert_eq!(tickets.make("t", None, at(0)).await.unwrap_err().code(), "too_many_tickets");
        assert!(tickets.make("t", None, at(END)).await.is_ok());
    }

    #[tokio::test]
    async fn a_user_has_a_hundred_of_their_own_and_a_used_one_makes_room() {
        let url = Postgres::shared().database();
        let open = || PostgresStores::open(&url, OpenOptions::default());
        let secret = b"a secret of sixteen bytes";
        let nodes = [Tickets::shared(open().await.unwrap(), secret), Tickets::shared(open().await.unwrap(), secret)];
        let alone = [Tickets::here()];
        for tickets in [&alone[..], &nodes[..]] {
            let (alice, bob): (Arc<str>, Arc<str>) = ("alice".into(), "bob".into());
            let take = async |place: usize, user, at| tickets[place % tickets.len()].make("t", user, at).await;
            let mut made = Vec::new();
            for place in 0..100 {
                made.push(take(place, Some(&alice), at(0)).await.unwrap());
            }
            let problem = take(1, Some(&alice), at(END - 1)).await.unwrap_err();
            assert_eq!((problem.code(), problem.status().as_u16()), ("too_many_tickets", 429));
            assert!(take(0, Some(&bob), at(0)).await.is_ok());
            assert!(take(0, None, at(0)).await.is_ok());
            assert!(tickets[0].redeem(&made[1], at(1)).await.unwrap().is_some());
            assert!(take(0, Some(&alice), at(1)).await.is_ok());
            assert!(take(0, Some(&alice), at(1)).await.is_err());
            assert!(take(1, Some(&alice), at(END)).await.is_ok());
        }
        assert!(alone[0].book.lock().by_user.len() <= 2);
    }

    #[tokio::test]
    async fn of_several_nodes_any_takes_it_once_and_the_database_does_not_know_what_it_stands_for() {
        let url = Postgres::shared().database();
        let open = || PostgresStores::open(&url, OpenOptions::default());
        let (stores, others) = (open().await.unwrap(), open().await.unwrap());
        let secret = b"a secret of sixteen bytes";
        let (here, there) = (Tickets::shared(stores.clone(), secret), Tickets::shared(others.clone(), secret));
        let credential = "the text of a token";
        let ticket = here.make(credential, None, at(0)).await.unwrap();
        assert_eq!(ticket.len(), 64);

        let stranger = Tickets::shared(others, b"another secret of many bytes");
        assert_eq!(stranger.redeem(&ticket, at(1)).await.unwrap(), None);
        let number = unhex::<BYTES>(&ticket[..32]).unwrap();
        let sealed = stores.take_ticket(name(&number), Timestamp(1)).await.unwrap().unwrap();
        assert!(!sealed.windows(8).any(|part| credential.as_bytes().windows(8).any(|known| known == part)));
        let again = NewTicket { digest: name(&number), sealed, ends_at: Timestamp(100), user: String::new() };
        assert!(stores.keep_ticket(again, Timestamp(0), 100).await.unwrap());

        let mut forged = ticket.clone().into_bytes();
        forged[63] = if forged[63] == b'0' { b'1' } else { b'0' };
        assert_eq!(there.redeem(std::str::from_utf8(&forged).unwrap(), at(1)).await.unwrap(), None);
        assert_eq!(there.redeem(&ticket, at(1)).await.unwrap().as_deref(), Some(credential));
        assert_eq!(here.redeem(&ticket, at(1)).await.unwrap(), None);
        for text in ["", "x", &ticket[..32], &"é".repeat(32)] {
            assert_eq!(here.redeem(text, at(0)).await.unwrap(), None);
        }
    }
}
