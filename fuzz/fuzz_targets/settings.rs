//! Files with settings: each is taken or refused with one sentence.
#![no_main]

use std::io::Write as _;

use libfuzzer_sys::fuzz_target;
use presently_server::{DatabaseFlags, Flags, Settings};

fuzz_target!(|input: &[u8]| {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(input).expect("it is written");
    let database = DatabaseFlags { config: Some(file.path().to_owned()), ..DatabaseFlags::default() };
    match Settings::resolve(Flags { database, ..Flags::default() }) {
        // What was taken holds together.
        Ok(settings) => {
            settings.policy().expect("timings that do not contradict each other");
            settings.presence().expect("a configuration");
        }
        Err(refusal) => assert!(!refusal.to_string().is_empty()),
    }
});
