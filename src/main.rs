//! `dispatch`: the charm's executable.

fn main() {}
