//! The program itself: started, stopped, killed and contradicted, as an operator would. Time is real here, so timeouts are short.

mod commands;
mod crash;
mod harness;
mod settings;
mod start;
