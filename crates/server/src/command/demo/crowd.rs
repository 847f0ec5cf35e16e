//! Moves the made-up users. **They are held to what real users are**: no login without an account that may be present, no
//! evidence from a login that was ended, and whoever is suspended or erased in the panel stays away.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use presently::{Activity, EndReason, Tick, UserId};
use presently_accounts::{AccountId, AccountStatus, Admission, Caller};

use super::chance::Chance;
use super::life::{Act, Life, Pace, SECOND_DEVICE};
use super::people::{Person, login};
use crate::app::App;
use crate::folder::random_text;

/// How often a login whose rights changed in the middle of a beat is looked at again.
const LOOKS_MAX: usize = 4;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One device of somebody.
#[derive(Debug)]
struct Device {
    account: AccountId,
    user: UserId,
    life: Life,
    /// The login's name, while there is one, and as of when it was found good.
    session: Option<(Arc<str>, u64)>,
    kind: &'static str,
    address: String,
}

/// All of them.
pub(super) struct Crowd {
    app: App,
    chance: Chance,
    pace: Pace,
    devices: Vec<Device>,
    /// When the next step of which device is due.
    due: BinaryHeap<Reverse<(Tick, usize)>>,
}

impl Crowd {
    pub(super) fn new(app: App, people: Vec<Person>, mut chance: Chance, pace: Pace) -> Self {
        let now = app.clock().now().tick;
        let as_of = app.accounts().as_of();
        let mut devices = Vec::with_capacity(people.len());
        for person in people {
            let Person { account, user, login, device: kind, address } = person;
            if chance.happens(SECOND_DEVICE) {
                let life = Life::begin(None, now, &mut chance, &pace);
                let (kind, address) = super::names::device(&mut chance);
                devices.push(Device { account, user: user.clone(), life, session: None, kind, address });
            }
            let life = Life::begin(login.as_ref().map(|(_, activity)| *activity), now, &mut chance, &pace);
            let session = login.map(|(session, _)| (session, as_of));
            devices.push(Device { account, user, life, session, kind, address });
        }
        let due = devices.iter().enumerate();
        let due = due.map(|(place, device)| Reverse((device.life.due(now, &mut chance, &pace), place))).collect();
        Self { app, chance, pace, devices, due }
    }

    /// Moves them for ever.
    pub(super) async fn run(mut self) {
        while let Some(Reverse((due, place))) = self.due.pop() {
            let now = self.app.clock().now().tick;
            if due > now {
                self.app.clock().sleep(due - now).await;
            }
            let now = self.app.clock().now().tick;
            let next = self.step(place, now).await;
            self.due.push(Reverse((next, place)));
        }
    }

    /// One step of one device; returns when its next one is due.
    async fn step(&mut self, place: usize, now: Tick) -> Tick {
        let Self { app, chance, pace, devices, .. } = self;
        let device = &mut devices[place];
        let act = device.life.step(now, chance, pace);
        let is_let_in = device.carry_out(app, act).await.unwrap_or_else(|error| {
            tracing::debug!(%error, "a made-up user was not heard");
            true
        });
        if !is_let_in {
            device.session = None;
            device.life.thrown_out(now, chance, pace);
        }
        device.life.due(now, chance, pace)
    }
}

impl Device {
    /// False when this login is not, or no longer, let in.
    async fn carry_out(&mut self, app: &App, act: Act) -> Result<bool, Error> {
        match act {
            Act::Nothing => Ok(true),
            Act::SignIn => self.sign_in(app).await,
            Act::Beat(activity) => self.beat(app, activity).await,
            Act::Drop => {
                if let Some((session, _)) = &self.session {
                    app.presently().drop_session(&self.user, session);
                }
                Ok(true)
            }
            Act::LogOut => {
                self.log_out(app).await?;
                Ok(true)
            }
        }
    }

    async fn sign_in(&mut self, app: &App) -> Result<bool, Error> {
        let as_of = app.accounts().as_of();
        let id = random_text::<16>()?;
        let session = id.as_str().into();
        let row = login(self.account, id, self.kind, self.address.clone(), app.now(), app.settings());
        if !app.accounts().store().open_session(&row).await? {
            return Ok(false);
        }
        self.session = Some((session, as_of));
        self.beat(app, Activity::Active).await
    }

    /// Evidence, as a request with this login's token would be.
    async fn beat(&mut self, app: &App, activity: Activity) -> Result<bool, Error> {
        let Some((session, as_of)) = &mut self.session else { return Ok(false) };
        for _ in 0..LOOKS_MAX {
            let still = || app.accounts().still_admits(*as_of);
            match app.presently().evidence(&self.user, session, Some(activity), still) {
                Ok(_) => return Ok(true),
                Err(presently::Error::Barred) => return Ok(false),
                Err(presently::Error::Stale) => {
                    *as_of = app.accounts().as_of();
                    if !is_live(app, session).await? {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    async fn log_out(&mut self, app: &App) -> Result<(), Error> {
        let Some((session, as_of)) = self.session.take() else { return Ok(()) };
        // Whose login was ended meanwhile is refused, as with a token; who was erased leaves nothing behind.
        if !is_live(app, &session).await? {
            return Ok(());
        }
        let caller = Caller {
            account: self.account,
            user: self.user.as_str().into(),
            session: Arc::clone(&session),
            foreign: false,
            expires_at: i64::MAX,
            admission: Admission { is_admin: false, status: AccountStatus::Active },
            as_of,
        };
        app.accounts().logout(&caller, None, app.now()).await?;
        app.presently().end_session(&self.user, &session, EndReason::Logout).await?;
        Ok(())
    }
}

/// Whether nobody ended this login.
async fn is_live(app: &App, session: &str) -> Result<bool, Error> {
    let row = app.accounts().store().session(session).await?;
    Ok(row.is_some_and(|row| row.ended_at.is_none()))
}
