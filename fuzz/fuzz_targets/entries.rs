//! What comes from other nodes: entries of the log and copies of states. Reading refuses what writing did not make; what can be read is
//! written as it was, and an engine follows it without a word.
#![no_main]

use libfuzzer_sys::fuzz_target;
use presently_core::cluster::{Ancestry, Entry, Members, Node, Past, UserState};
use presently_core::{Engine, Limits, Now, Policy, Tick, Timestamp};

/// Reads, writes and reads again.
macro_rules! same {
    ($kind:ty, $bytes:expr) => {
        if let Ok(read) = <$kind>::decode($bytes) {
            let mut written = Vec::new();
            read.encode(&mut written);
            let mut again = Vec::new();
            <$kind>::decode(&written).expect("what was written can be read").encode(&mut again);
            assert_eq!(written, again);
        }
    };
}

fuzz_target!(|input: &[u8]| {
    same!(UserState, input);
    same!(Members, input);
    same!(Past, input);
    same!(Ancestry, input);

    // Several entries, each with its length before it.
    let mut engine = Engine::new(Policy::default(), Limits::default(), 7, 1, 1);
    engine.set_me(Node(1));
    let mut members = Members::new();
    members.found([Node(1), Node(2)]);
    let (mut rest, mut seq) = (input, 0);
    while let [length, more @ ..] = rest {
        let (bytes, after) = more.split_at(usize::from(*length).min(more.len()));
        rest = after;
        seq += 1;
        let Ok(entry) = Entry::decode(seq, bytes) else { continue };
        let mut written = Vec::new();
        entry.encode(&mut written);
        assert_eq!(Entry::decode(seq, &written).as_ref(), Ok(&entry));
        let now = Now { tick: Tick(seq * 1_000_000), wall: Timestamp(1_700_000_000_000_000 + seq as i64 * 1_000_000) };
        let _ = members.admit(&entry);
        let _ = engine.follow(now, &entry);
        engine.sweep(now, 100);
    }
});
