//! Entries, states and members as bytes. **Reading refuses what writing did not make**, and never panics.

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::ancestry::Stretch;
use super::{
    Act, Ancestry, Ended, Entry, HeardSession, HeldState, Left, Members, Node, OverrideState, Past, SessionState,
    UserState,
};
use crate::{Activity, EndReason, Source, Status, Timestamp, UserId};

/// The first byte of whatever is written here. What a program with a higher one wrote, this one cannot follow, and must not pass
/// over either: the others follow it.
const VERSION: u8 = 1;

/// The bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DecodeError {
    newer: bool,
}

impl DecodeError {
    /// Nobody wrote this: all pass it over alike.
    pub const GARBAGE: Self = Self { newer: false };
    /// A newer program wrote this.
    pub const NEWER: Self = Self { newer: true };

    /// Whether a newer program wrote it. Whoever passes it over does not decide what the others decide.
    #[must_use]
    pub const fn is_newer(self) -> bool {
        self.newer
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.newer { "a newer program wrote these bytes" } else { "these bytes make no sense" })
    }
}

impl core::error::Error for DecodeError {}

const GARBAGE: DecodeError = DecodeError::GARBAGE;

type Read<T> = Result<T, DecodeError>;

impl Entry {
    /// Writes it down, but for its place.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u64(self.node.0, out);
        put_u64(self.count, out);
        put_u64(self.wall.0.cast_unsigned(), out);
        put_act(&self.act, out);
    }

    /// Reads what stands at this place.
    ///
    /// # Errors
    /// It is no entry.
    pub fn decode(seq: u64, bytes: &[u8]) -> Read<Self> {
        let mut rest = Rest::of(bytes)?;
        let (node, count, wall) = (Node(rest.u64()?), rest.u64()?, rest.wall()?);
        let act = rest.act()?;
        rest.end()?;
        Ok(Self { seq, node, count, wall, act })
    }
}

impl UserState {
    /// Writes it down.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_name(&self.user, out);
        put_maybe(self.last_seen.map(|at| at.0.cast_unsigned()), out);
        put_u64(self.since.0.cast_unsigned(), out);
        out.extend([u8::from(self.since_known), u8::from(self.barred)]);
        put_u64(self.sessions.len() as u64, out);
        for session in &self.sessions {
            put_u64(session.number, out);
            put_name(&session.session, out);
            out.push(activity_byte(session.activity));
            put_u64(session.opened_at.0.cast_unsigned(), out);
            put_u64(session.last_evidence.0.cast_unsigned(), out);
            put_u64(session.owner.0, out);
        }
        out.push(self.overrides.len() as u8);
        for standing in &self.overrides {
            out.extend([standing.source as u8, standing.status as u8]);
            put_u64(standing.set_at.0.cast_unsigned(), out);
            put_maybe(standing.ends_at.map(|at| at.0.cast_unsigned()), out);
            put_maybe(standing.remaining.map(micros), out);
        }
        out.push(u8::from(self.held.is_some()));
        if let Some(held) = &self.held {
            out.push(held.status as u8);
            put_u64(held.set_at.0.cast_unsigned(), out);
            put_u64(micros(held.remaining), out);
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is no state.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut rest = Rest::of(bytes)?;
        let user = rest.name()?;
        let last_seen = rest.maybe()?.map(|at| Timestamp(at.cast_signed()));
        let since = rest.wall()?;
        let (since_known, barred) = (rest.flag()?, rest.flag()?);
        let mut sessions = Vec::new();
        for _ in 0..rest.u64()?.min(bytes.len() as u64) {
            sessions.push(SessionState {
                number: rest.u64()?,
                session: rest.name()?,
                activity: rest.activity()?,
                opened_at: rest.wall()?,
                last_evidence: rest.wall()?,
                owner: Node(rest.u64()?),
            });
        }
        let mut overrides = Vec::new();
        for _ in 0..rest.byte()? {
            overrides.push(OverrideState {
                source: rest.source()?,
                status: rest.status()?,
                set_at: rest.wall()?,
                ends_at: rest.maybe()?.map(|at| Timestamp(at.cast_signed())),
                remaining: rest.maybe()?.map(Duration::from_micros),
            });
        }
        let held = if rest.flag()? {
            Some(HeldState { status: rest.status()?, set_at: rest.wall()?, remaining: rest.length()? })
        } else {
            None
        };
        rest.end()?;
        Ok(Self { user, last_seen, since, since_known, barred, sessions, overrides, held })
    }
}

impl Members {
    /// Writes them down.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u64(self.live.len() as u64, out);
        for (node, count) in &self.live {
            put_u64(node.0, out);
            put_u64(*count, out);
        }
        put_u64(self.lost.len() as u64, out);
        for (node, count) in &self.lost {
            put_u64(node.0, out);
            put_u64(*count, out);
        }
    }

    /// Reads them.
    ///
    /// # Errors
    /// They are no members.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut rest = Rest::of(bytes)?;
        let mut members = Self::new();
        for _ in 0..rest.u64()?.min(bytes.len() as u64) {
            members.live.push((Node(rest.u64()?), rest.u64()?));
        }
        for _ in 0..rest.u64()?.min(bytes.len() as u64) {
            members.lost.push((Node(rest.u64()?), rest.u64()?));
        }
        rest.end()?;
        Ok(members)
    }
}

impl Past {
    /// Writes it down.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        put_u64(self.ended.len() as u64, out);
        for ended in &self.ended {
            put_u64(ended.seq, out);
            put_u64(ended.session, out);
        }
        put_u64(self.left.len() as u64, out);
        for left in &self.left {
            put_u64(left.user, out);
            put_u64(left.at.0.cast_unsigned(), out);
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut rest = Rest::of(bytes)?;
        let mut past = Self::default();
        for _ in 0..rest.u64()?.min(bytes.len() as u64) {
            past.ended.push(Ended { seq: rest.u64()?, session: rest.u64()? });
        }
        for _ in 0..rest.u64()?.min(bytes.len() as u64) {
            past.left.push(Left { user: rest.u64()?, at: rest.wall()? });
        }
        rest.end()?;
        Ok(past)
    }
}

impl Ancestry {
    /// Writes it down.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.push(VERSION);
        for stretch in &self.stretches {
            [stretch.epoch, stretch.after, stretch.to].into_iter().for_each(|value| put_u64(value, out));
        }
    }

    /// Reads it.
    ///
    /// # Errors
    /// It is none.
    pub fn decode(bytes: &[u8]) -> Read<Self> {
        let mut rest = Rest::of(bytes)?;
        let mut ancestry = Self::new();
        while !rest.0.is_empty() {
            ancestry.stretches.push(Stretch { epoch: rest.u64()?, after: rest.u64()?, to: rest.u64()? });
        }
        Ok(ancestry)
    }
}

fn put_act(act: &Act, out: &mut Vec<u8>) {
    let mut named = |kind: u8, user: &str| {
        out.push(kind);
        put_name(user, out);
    };
    match act {
        Act::Evidence { user, session, after, activity } => {
            named(0, user);
            put_name(session, out);
            put_u64(*after, out);
            out.push(activity.map_or(2, activity_byte));
        }
        Act::Claim { user, session, after, activity, last_evidence, remaining } => {
            named(1, user);
            put_name(session, out);
            put_u64(*after, out);
            out.push(activity_byte(*activity));
            put_u64(last_evidence.0.cast_unsigned(), out);
            put_u64(micros(*remaining), out);
        }
        Act::EndSession { user, session, reason } => {
            named(2, user);
            put_name(session, out);
            out.push(reason_byte(*reason));
        }
        Act::EndUser { user, reason } => {
            named(3, user);
            out.push(reason_byte(*reason));
        }
        Act::Set { user, status } => {
            named(4, user);
            out.push(*status as u8);
        }
        Act::Override { user, source, status, ends_after } => {
            named(5, user);
            out.extend([*source as u8, *status as u8]);
            put_maybe(ends_after.map(micros), out);
        }
        Act::ClearOverride { user, source } => {
            named(6, user);
            out.push(*source as u8);
        }
        Act::Bar { user } => named(7, user),
        Act::Unbar { user } => named(8, user),
        Act::Forget { user } => named(9, user),
        Act::Expire { user, number, dropped, last_evidence, lateness } => {
            named(10, user);
            put_u64(*number, out);
            out.push(u8::from(*dropped));
            put_u64(last_evidence.0.cast_unsigned(), out);
            put_u64(micros(*lateness), out);
        }
        Act::EndTimer { user, source, set_at, lateness } => {
            named(11, user);
            out.push(source.map_or(u8::MAX, |source| source as u8));
            put_u64(set_at.0.cast_unsigned(), out);
            put_u64(micros(*lateness), out);
        }
        Act::Joined => out.push(12),
        Act::Lost { node, heir } => {
            out.push(13);
            put_u64(node.0, out);
            put_u64(heir.0, out);
        }
        Act::Tick => out.push(14),
        Act::Heard { sessions } => {
            out.push(15);
            put_u64(sessions.len() as u64, out);
            for HeardSession { user, session, at } in sessions {
                put_name(user, out);
                put_name(session, out);
                put_u64(at.0.cast_unsigned(), out);
            }
        }
    }
}

fn put_u64(value: u64, out: &mut Vec<u8>) {
    out.extend(value.to_le_bytes());
}

fn put_maybe(value: Option<u64>, out: &mut Vec<u8>) {
    out.push(u8::from(value.is_some()));
    out.extend(value.into_iter().flat_map(u64::to_le_bytes));
}

fn put_name(name: &str, out: &mut Vec<u8>) {
    out.extend((name.len() as u16).to_le_bytes());
    out.extend(name.as_bytes());
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

const fn activity_byte(activity: Activity) -> u8 {
    match activity {
        Activity::Active => 0,
        Activity::Idle => 1,
    }
}

const fn reason_byte(reason: EndReason) -> u8 {
    match reason {
        EndReason::Logout => 0,
        EndReason::Disconnected => 1,
        EndReason::ForcedLogout => 2,
    }
}

struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    /// What stands behind the version.
    fn of(bytes: &'a [u8]) -> Read<Self> {
        match bytes.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some((&version, _)) if version > VERSION => Err(DecodeError::NEWER),
            _ => Err(GARBAGE),
        }
    }

    fn take<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(GARBAGE)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn byte(&mut self) -> Read<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Read<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn wall(&mut self) -> Read<Timestamp> {
        self.u64().map(|at| Timestamp(at.cast_signed()))
    }

    fn length(&mut self) -> Read<Duration> {
        self.u64().map(Duration::from_micros)
    }

    fn flag(&mut self) -> Read<bool> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(GARBAGE),
        }
    }

    fn maybe(&mut self) -> Read<Option<u64>> {
        if self.flag()? { self.u64().map(Some) } else { Ok(None) }
    }

    fn name(&mut self) -> Read<UserId> {
        let length = usize::from(u16::from_le_bytes(self.take()?));
        let (name, rest) = self.0.split_at_checked(length).ok_or(GARBAGE)?;
        self.0 = rest;
        UserId::from_utf8(name).map_err(|_| GARBAGE)
    }

    fn activity(&mut self) -> Read<Activity> {
        if self.flag()? { Ok(Activity::Idle) } else { Ok(Activity::Active) }
    }

    fn status(&mut self) -> Read<Status> {
        let byte = self.byte()?;
        [Status::Offline, Status::Away, Status::Online].into_iter().find(|status| *status as u8 == byte).ok_or(GARBAGE)
    }

    fn source(&mut self) -> Read<Source> {
        let byte = self.byte()?;
        Source::ALL.into_iter().find(|source| *source as u8 == byte).ok_or(GARBAGE)
    }

    fn reason(&mut self) -> Read<EndReason> {
        match self.byte()? {
            0 => Ok(EndReason::Logout),
            1 => Ok(EndReason::Disconnected),
            2 => Ok(EndReason::ForcedLogout),
            _ => Err(GARBAGE),
        }
    }

    fn act(&mut self) -> Read<Act> {
        let kind = self.byte()?;
        Ok(match kind {
            12 => return Ok(Act::Joined),
            13 => return Ok(Act::Lost { node: Node(self.u64()?), heir: Node(self.u64()?) }),
            14 => return Ok(Act::Tick),
            15 => {
                let mut sessions = Vec::new();
                for _ in 0..self.u64()?.min(self.0.len() as u64) {
                    sessions.push(HeardSession { user: self.name()?, session: self.name()?, at: self.wall()? });
                }
                return Ok(Act::Heard { sessions });
            }
            _ => {
                let user = self.name()?;
                match kind {
                    0 => {
                        let (session, after) = (self.name()?, self.u64()?);
                        let activity = match self.byte()? {
                            0 => Some(Activity::Active),
                            1 => Some(Activity::Idle),
                            2 => None,
                            _ => return Err(GARBAGE),
                        };
                        Act::Evidence { user, session, after, activity }
                    }
                    1 => Act::Claim {
                        user,
                        session: self.name()?,
                        after: self.u64()?,
                        activity: self.activity()?,
                        last_evidence: self.wall()?,
                        remaining: self.length()?,
                    },
                    2 => Act::EndSession { user, session: self.name()?, reason: self.reason()? },
                    3 => Act::EndUser { user, reason: self.reason()? },
                    4 => Act::Set { user, status: self.status()? },
                    5 => Act::Override {
                        user,
                        source: self.source()?,
                        status: self.status()?,
                        ends_after: self.maybe()?.map(Duration::from_micros),
                    },
                    6 => Act::ClearOverride { user, source: self.source()? },
                    7 => Act::Bar { user },
                    8 => Act::Unbar { user },
                    9 => Act::Forget { user },
                    10 => Act::Expire {
                        user,
                        number: self.u64()?,
                        dropped: self.flag()?,
                        last_evidence: self.wall()?,
                        lateness: self.length()?,
                    },
                    11 => {
                        let source = match self.byte()? {
                            u8::MAX => None,
                            byte => Some(Source::ALL.into_iter().find(|&s| s as u8 == byte).ok_or(GARBAGE)?),
                        };
                        Act::EndTimer { user, source, set_at: self.wall()?, lateness: self.length()? }
                    }
                    _ => return Err(GARBAGE),
                }
            }
        })
    }

    fn end(&self) -> Read<()> {
        if self.0.is_empty() { Ok(()) } else { Err(GARBAGE) }
    }
}
