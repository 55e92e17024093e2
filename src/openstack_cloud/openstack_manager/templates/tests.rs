//! Whatever a value holds, it comes out as it is.

use super::*;

#[test]
fn x() {}
