use super::*;

fn owner(application: &str) -> Owner {
    Owner { model_uuid: "m".into(), application: application.into(), unit: 0 }
}

fn image(properties: &[(&str, &str)]) -> Image {
    let mut fields = serde_json::json!({
        "id": "own", "status": "active", "visibility": "private", "owner": "project",
        "created_at": "2026-05-01T12:00:00Z", "os_hash_algo": "sha512", "os_hash_value": "ab",
    });
    for (name, value) in properties {
        fields[*name] = (*value).into();
    }
    serde_json::from_value(fields).unwrap()
}

#[test]
fn only_a_label_on_this_very_image_makes_it_ours() {
    let published = [(OWNER, "m/rib"), (STAGE, "published"), (SELF, "own")];
    let is_ours = |properties: &[_]| is_ours(&owner("rib"), "project", Stage::Published, &image(properties));
    assert!(is_ours(&published));
    assert!(!super::is_ours(&owner("rib"), "another", Stage::Published, &image(&published)));
    for (index, value) in [(0, "m/rib-2"), (0, "m/ri"), (0, "n/rib"), (1, "snapshot"), (2, "other")] {
        let mut changed = published;
        changed[index].1 = value;
        assert!(!is_ours(&changed), "{changed:?}");
    }
    let copied_by_nova = [&published[..2], &[(SERVER, "vm"), (NOVA_SOURCE, "vm")]].concat();
    assert!(!is_ours(&copied_by_nova), "only a snapshot is ours by its server");
}

#[test]
fn a_snapshot_is_ours_by_our_server_until_it_is_by_its_own_id() {
    let common = [(OWNER, "m/rib"), (STAGE, "snapshot")];
    let is_ours = |properties: &[(&str, &str)]| {
        let properties = [&common[..], properties].concat();
        is_ours(&owner("rib"), "project", Stage::Snapshot, &image(&properties))
    };
    assert!(is_ours(&[(SERVER, "vm"), (NOVA_SOURCE, "vm"), (SELF, "base")]));
    assert!(is_ours(&[(SELF, "own")]));
    assert!(!is_ours(&[(SERVER, "vm"), (NOVA_SOURCE, "a tenant's"), (SELF, "base")]));
    assert!(!is_ours(&[(NOVA_SOURCE, "vm"), (SELF, "base")]) && !is_ours(&[]));
}

#[test]
fn a_runner_stays_until_it_expires_and_a_builder_as_long_as_its_unit_works() {
    let server = |labels: BTreeMap<String, String>| -> Server {
        let fields = serde_json::json!({"id": "s", "status": "ACTIVE", "metadata": labels});
        serde_json::from_value(fields).unwrap()
    };
    let (job, hour) = (JobId::random(), Duration::from_secs(3600));
    let [past, future] = [Timestamp(1), Timestamp::now().plus(hour)];
    let others = Owner { unit: 1, ..owner("rib") };
    for (made_by, expires, goes) in
        [(owner("rib"), future, false), (owner("rib"), past, true), (others.clone(), past, true)]
    {
        let runner = server(of_runner(&made_by, &job, expires));
        assert_eq!(may_remove_server(&owner("rib"), &runner), goes, "{made_by:?} {expires}");
        assert!(!may_remove_server(&owner("rib-2"), &runner));
    }
    assert!(may_remove_server(&owner("rib"), &server(of_server(&owner("rib"), &job, hour))));
    assert!(!may_remove_server(&owner("rib"), &server(of_server(&others, &job, hour))));
}

#[test]
fn a_preparation_is_no_build_and_a_build_on_it_is_no_prepared_image() {
    let (job, server) = (JobId::random(), "vm".parse().unwrap());
    let labels = of_preparation(&owner("rib"), &job, &server, "key", &Origin::default());
    let mut taken: Vec<(&str, &str)> =
        labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    taken.extend([(NOVA_SOURCE, "vm"), (DIGEST, "of-its-base")]);
    let taken = image(&taken);
    assert!(is_ours(&owner("rib"), "project", Stage::Snapshot, &taken));
    let noble = Target { base: crate::model::BaseImage::Noble, arch: crate::model::Arch::X64 };
    assert!(!is_for(noble, &taken), "nobody goes on with it");
    let changes = |changes: Vec<ImageChange>| format!("{changes:?}");
    let kept = changes(keep_prepared(&taken, "name"));
    assert!(kept.contains(DIGEST) && !kept.contains(PREPARATION), "{kept}");
    let sealed = changes(seal(&taken));
    assert!(sealed.contains(DIGEST) && sealed.contains(PREPARATION), "{sealed}");
}
