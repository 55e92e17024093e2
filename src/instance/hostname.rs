//! The name of an instance.

use super::error::BaseConfigurationError;

/// What a host may be called at most (RFC 1035: a label).
const LONGEST: usize = 63;

/// `given` as a host may be called: its letters, digits and hyphens, no hyphen at either end, at most 63.
pub(super) fn hostname(given: &str) -> Result<String, BaseConfigurationError> {
    let allowed: String =
        given.chars().filter(|sign| sign.is_ascii_alphanumeric() || *sign == '-').take(LONGEST).collect();
    match allowed.trim_matches('-') {
        "" => Err(BaseConfigurationError::InvalidHostname { given: given.to_owned() }),
        name => Ok(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostname_is_trimmed_to_what_a_host_may_be_called() {
        let long = "x".repeat(70);
        let hyphen_at_the_end = format!("{}-y", "x".repeat(62));
        for (given, name) in [
            ("craft-buildd-instance", "craft-buildd-instance"),
            ("My_host..name-", "Myhostname"),
            ("-a", "a"),
            ("ä-b", "b"),
            ("a b\n", "ab"),
            (&long, &long[..63]),
            (&hyphen_at_the_end, &long[..62]),
        ] {
            assert_eq!(hostname(given).unwrap(), name, "{given}");
        }
    }

    #[test]
    fn a_hostname_of_which_nothing_is_left_is_an_error() {
        for bad in ["", "-", "...", "ä"] {
            assert!(hostname(bad).is_err(), "{bad}");
        }
    }
}
