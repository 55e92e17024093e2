//! The list of digests of a release, SHA256SUMS.

/// The digest of `file` in the format of sha256sum(1): `HEX *NAME` or `HEX  NAME`.
pub(super) fn listed_digest(list: &[u8], file: &str) -> Option<String> {
    let list = std::str::from_utf8(list).ok()?;
    list.lines().find_map(|line| {
        let (digest, name) = line.split_once(' ')?;
        let name = name.strip_prefix(['*', ' '])?;
        let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
        (name == file && is_digest).then(|| digest.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_by_the_whole_name_and_must_be_digests() {
        let digest = "AB".repeat(32);
        let list = format!("{digest} *noble.img\n{digest}  other.img\nshort *bad.img\n");
        assert_eq!(listed_digest(list.as_bytes(), "noble.img"), Some("ab".repeat(32)));
        assert_eq!(listed_digest(list.as_bytes(), "other.img"), Some("ab".repeat(32)));
        assert_eq!(listed_digest(list.as_bytes(), "bad.img"), None);
        assert_eq!(listed_digest(list.as_bytes(), "le.img"), None);
        assert_eq!(listed_digest(&[0xff, 0xfe], "noble.img"), None);
    }
}
