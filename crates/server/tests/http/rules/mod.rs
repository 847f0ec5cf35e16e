//! The rules of presence, and what users of other systems complain of.

mod changes;
mod clock;
mod complaints;
mod deadlines;
mod evidence;
mod races;
mod restart;
