//! The evidence of about a second in a few bytes a session. **Reading refuses what writing did not make**, and never panics.
//!
//! A block is: a version byte; which life of the server packed it and at which tick of that life (eight bytes each, little endian);
//! the number of entries; then, by ascending session number, the distance from the number before and how many milliseconds
//! before the block's time the session was heard (negative when the wall clock stepped in between), as LEB128 integers.
//! With one session in thirty heard that is three to four bytes an entry.

use presently_core::{SessionNumber, Tick, Timestamp};

const VERSION: u8 = 1;

/// Which life of the server packed a block, and when in that life: the wall clock may step, this does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) life: u64,
    pub(crate) tick: Tick,
}

/// Packs evidence that is sorted by number, each number once.
pub(crate) fn pack(stamp: Stamp, at: Timestamp, heard: &[(SessionNumber, Timestamp)]) -> Vec<u8> {
    let mut packed = Vec::with_capacity(32 + heard.len() * 4);
    packed.push(VERSION);
    packed.extend(stamp.life.to_le_bytes());
    packed.extend(stamp.tick.0.to_le_bytes());
    put(&mut packed, heard.len() as u64);
    let mut before = 0;
    for &(number, heard_at) in heard {
        put(&mut packed, number.wrapping_sub(before));
        before = number;
        // Rounded away from now: nobody was seen later than they were.
        let micros = at.0.saturating_sub(heard_at.0);
        let millis = micros.div_euclid(1000) + i64::from(micros.rem_euclid(1000) > 0);
        put(&mut packed, zigzag(millis));
    }
    packed
}

/// Reads a block: who packed it, and each session with the milliseconds since it was heard. `None` is garbage.
pub(crate) fn unpack(packed: &[u8], heard: &mut Vec<(SessionNumber, i64)>) -> Option<Stamp> {
    heard.clear();
    let mut rest = packed;
    if take::<1>(&mut rest)? != [VERSION] {
        return None;
    }
    let life = u64::from_le_bytes(take(&mut rest)?);
    let tick = Tick(u64::from_le_bytes(take(&mut rest)?));
    let count = get(&mut rest)?;
    // Two bytes an entry at least: a count that promises more is not believed, and nothing is allocated for it.
    if count > rest.len() as u64 / 2 {
        return None;
    }
    heard.reserve(usize::try_from(count).ok()?);
    let mut number: SessionNumber = 0;
    for place in 0..count {
        let distance = get(&mut rest)?;
        if distance == 0 && place > 0 {
            return None;
        }
        number = number.checked_add(distance)?;
        heard.push((number, unzigzag(get(&mut rest)?)));
    }
    rest.is_empty().then_some(Stamp { life, tick })
}

fn put(packed: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        packed.push(value as u8 | 0x80);
        value >>= 7;
    }
    packed.push(value as u8);
}

fn get(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let [byte] = take::<1>(rest)?;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, left) = rest.split_first_chunk::<N>()?;
    *rest = left;
    Some(*taken)
}

const fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -((value & 1).cast_signed())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const STAMP: Stamp = Stamp { life: 0x0123_4567_89ab_cdef, tick: Tick(42) };

    #[test]
    fn an_entry_costs_three_to_four_bytes() {
        let at = Timestamp(1_000_000_000);
        let heard: Vec<_> =
            (0..33_000).map(|n| (n * 30 + n % 7, Timestamp(at.0 - (n as i64 * 31) % 1_000_000))).collect();
        let packed = pack(STAMP, at, &heard);
        assert!(packed.len() < heard.len() * 4, "{} bytes for {} entries", packed.len(), heard.len());
    }

    #[test]
    fn nobody_is_read_as_seen_later_than_they_were() {
        let mut read = Vec::new();
        for micros in [0, 1, 999, 1000, 1001, 999_999] {
            let packed = pack(STAMP, Timestamp(5_000_000), &[(1, Timestamp(5_000_000 - micros))]);
            unpack(&packed, &mut read).unwrap();
            assert!(read[0].1 * 1000 >= micros && read[0].1 * 1000 < micros + 1000);
        }
    }

    #[test]
    fn a_short_block_is_garbage_at_every_length() {
        let packed = pack(STAMP, Timestamp(9_000_000), &[(3, Timestamp(8_500_000)), (900, Timestamp(8_900_000))]);
        for length in 0..packed.len() {
            assert_eq!(unpack(&packed[..length], &mut Vec::new()), None);
        }
        let longer: Vec<u8> = packed.iter().copied().chain([0]).collect();
        assert_eq!(unpack(&longer, &mut Vec::new()), None);
    }

    proptest! {
        #[test]
        fn what_was_packed_is_read_again(
            at in -1_000_000_000_000_000_i64..1_000_000_000_000_000,
            entries in proptest::collection::btree_map(any::<u64>(), -100_000_i64..100_000, 0..50),
        ) {
            let heard: Vec<_> = entries.iter().map(|(&number, &millis)| (number, Timestamp(at - millis * 1000))).collect();
            let mut read = Vec::new();
            prop_assert_eq!(unpack(&pack(STAMP, Timestamp(at), &heard), &mut read), Some(STAMP));
            prop_assert_eq!(read, entries.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn garbage_never_panics(mut bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            unpack(&bytes, &mut Vec::new());
        }
    }
}
