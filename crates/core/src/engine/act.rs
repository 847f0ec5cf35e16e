//! What administrators, applications and accounts say about a user. **None of it is evidence of life.**

use core::time::Duration;

use super::user::{Held, Standing};
use super::{Engine, Slot};
use crate::{Effect, Effects, HeldRow, Now, OverrideRow, Reason, Rejected, Source, Status, UserId};

impl Engine {
    pub(super) fn set(&mut self, now: Now, user: &str, status: Status, out: &mut Effects) -> Result<(), Rejected> {
        let found = self.look_up(user)?;
        if status == Status::Offline {
            if let Some(slot) = found {
                self.set_offline(now, slot, out);
            }
            return Ok(());
        }
        let slot = self.present(now, found, user)?;
        let seen = status == Status::Online;
        if seen {
            self.saw(slot, now.wall);
        }
        let deadline = now.tick + self.policy.inactivity_timeout();
        self.hold(slot, Held { status, set_at: now.wall, deadline });
        out.push(Effect::SaveHeld(HeldRow { user: self.users[slot].name.clone(), status, set_at: now.wall }));
        self.finish(now, slot, Reason::Set, None, seen, out);
        Ok(())
    }

    pub(super) fn set_override(
        &mut self,
        now: Now,
        user: &str,
        source: Source,
        status: Status,
        ends_after: Option<Duration>,
        out: &mut Effects,
    ) -> Result<(), Rejected> {
        let found = self.look_up(user)?;
        let slot = self.present(now, found, user)?;
        let ends_at = ends_after.map(|length| now.wall + length);
        let standing =
            Standing { status, set_at: now.wall, ends_at, deadline: ends_after.map(|length| now.tick + length) };
        self.stand(slot, source, standing);
        let user = self.users[slot].name.clone();
        out.push(Effect::SaveOverride(OverrideRow { user, source, status, set_at: now.wall, ends_at }));
        self.show(now, slot, Reason::Override, None, out);
        Ok(())
    }

    pub(super) fn clear_override(
        &mut self,
        now: Now,
        user: &str,
        source: Source,
        out: &mut Effects,
    ) -> Result<(), Rejected> {
        let Some(slot) = self.look_up(user)? else { return Ok(()) };
        if self.end_override(slot, source, out) {
            self.finish(now, slot, Reason::OverrideEnded, None, false, out);
        }
        Ok(())
    }

    pub(super) fn bar(&mut self, now: Now, user: &str, out: &mut Effects) -> Result<(), Rejected> {
        let slot = match self.look_up(user)? {
            Some(slot) => slot,
            None => {
                self.room()?;
                self.enter(now, user.into())
            }
        };
        let keep = self.end_all(slot, out);
        self.users[slot].set_barred(true);
        self.finish(now, slot, Reason::Barred, None, keep, out);
        Ok(())
    }

    pub(super) fn unbar(&mut self, user: &str) -> Result<(), Rejected> {
        if let Some(slot) = self.look_up(user)?
            && self.users[slot].barred()
        {
            self.users[slot].set_barred(false);
            self.settle(slot);
        }
        Ok(())
    }

    pub(super) fn forget(&mut self, now: Now, user: &str, out: &mut Effects) -> Result<(), Rejected> {
        if let Some(slot) = self.look_up(user)? {
            // `Erase` says it all: what ends here is no news to the store.
            self.end_all(slot, &mut Effects::new());
            self.users[slot].set_barred(false);
            self.show(now, slot, Reason::ForcedLogout, None, out);
            self.leave(slot);
        }
        out.push(Effect::Erase(UserId::from(user)));
        Ok(())
    }

    fn set_offline(&mut self, now: Now, slot: Slot, out: &mut Effects) {
        self.close_all(slot, out);
        self.end_held(slot, out);
        self.saw(slot, now.wall);
        self.finish(now, slot, Reason::Set, None, true, out);
    }

    /// The slot of a user who may be present, taken into memory when not there.
    fn present(&mut self, now: Now, found: Option<Slot>, user: &str) -> Result<Slot, Rejected> {
        match found {
            Some(slot) if self.users[slot].barred() => Err(Rejected::Barred),
            Some(slot) => Ok(slot),
            None => {
                self.room()?;
                Ok(self.enter(now, user.into()))
            }
        }
    }

    /// Ends the sessions, the held status and the overrides; true as [`close`](Self::close) has it.
    pub(super) fn end_all(&mut self, slot: Slot, out: &mut Effects) -> bool {
        let keep = self.close_all(slot, out);
        self.end_held(slot, out);
        for source in Source::ALL {
            self.end_override(slot, source, out);
        }
        keep
    }
}
