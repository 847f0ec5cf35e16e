//! Blocks of evidence, as a start finds them in the store: garbage is passed over, and the server starts.
#![no_main]

use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use presently::clock::{Clock as _, ManualClock};
use presently::memory::MemoryStore;
use presently::store::{Batch, EvidenceBlock, Store as _};
use presently::{Activity, Config, Presently, PresenceRow, SessionRow, Status, Timestamp};

const SESSIONS: u64 = 4;

fuzz_target!(|input: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let (clock, store) = (ManualClock::new(), Arc::new(MemoryStore::new()));
        let now = clock.now().wall;
        let mut batch = Batch::default();
        for number in 1..=SESSIONS {
            let user = format!("user{number}");
            batch.presences.push(PresenceRow { user: user.as_str().into(), status: Status::Online, last_seen: Some(now), since: now });
            batch.sessions.push(SessionRow {
                number,
                user: user.as_str().into(),
                session: "s".into(),
                activity: Activity::Active,
                opened_at: now,
                last_evidence: now,
            });
        }
        store.commit(&batch).await.expect("rows are kept");
        // Several blocks, each with its length before it, a second apart.
        let (mut rest, mut at) = (input, now.0);
        while let [length, more @ ..] = rest {
            let (packed, after) = more.split_at(usize::from(*length).min(more.len()));
            rest = after;
            at += 1_000_000;
            let block = EvidenceBlock { at: Timestamp(at), packed: packed.to_vec() };
            store.append_evidence(&block, Timestamp(0)).await.expect("a block is kept");
        }
        let presently = Presently::open(Config::default(), store, clock).await.expect("a start with any blocks");
        for number in 1..=SESSIONS {
            presently.presence(&format!("user{number}")).await.expect("a presence");
        }
        presently.shutdown().await.expect("an end");
    });
});
