//! What a job asks GitHub for: each release once, with the operator's token, and only whether it has changed.

use rehearsal::servers::GITHUB_TOKEN;

use crate::fixture::{Deployed, Fixture};

#[test]
fn a_release_is_asked_for_once_and_a_used_up_rate_limit_fails_no_build() {
    let fixture = Fixture::set(&[("base-image", "noble,jammy")]);
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    // The latest runner, the list of its releases, and yq, whatever the number of targets.
    assert_eq!(fixture.site.github_rate().used(), (3, 0));
    assert_eq!(fixture.build_again().failures, []);
    assert_eq!(fixture.site.github_rate().used(), (3, 0), "nothing has changed, and nothing is counted");
    fixture.site.github_rate().use_up();
    assert_eq!(fixture.build_again().failures, []);
    let status = fixture.status();
    assert!(status.starts_with("active: ") && !status.contains("failed"), "{status}");
    let log = std::fs::read_to_string(fixture.host(&fixture.unit()).log_dir().join("worker.log")).unwrap();
    let said = log.lines().find(|line| line.contains("rate limit is used up")).unwrap();
    assert!(said.contains(" WARN ") && said.contains("; using its answer of "), "{said}");
}

#[test]
fn a_unit_that_never_had_an_answer_says_which_option_raises_the_limit() {
    let fixture = Fixture::set(&[]);
    fixture.site.github_rate().use_up();
    fixture.integrate("upload");
    assert!(!fixture.job_ended().failures.is_empty());
    let jobs = fixture.jobs();
    assert!(jobs.contains("it is reset in 30 min; set github-token-secret-id"), "{jobs}");
}

#[test]
fn a_token_has_a_limit_of_its_own_and_one_that_is_refused_is_named() {
    let fixture = Fixture::set(&[]);
    fixture.site.github_rate().use_up();
    let token = fixture.model.add_secret(&[("token", &format!("{GITHUB_TOKEN}\n"))]).unwrap();
    token.grant(&fixture.app).unwrap();
    fixture.app.set_config(&[("github-token-secret-id", &token.uri())]).unwrap();
    fixture.integrate("upload");
    assert_eq!(fixture.job_ended().failures, []);
    let (_, with_token) = fixture.site.github_rate().used();
    assert!(with_token > 0, "what is not answered from memory counts for the token");

    token.update(&[("token", "github_pat_revoked-0c1d")]).unwrap();
    assert!(!fixture.build_again().failures.is_empty());
    let status = fixture.status();
    assert!(status.contains("github-token-secret-id") && !status.contains("0c1d"), "{status}");
}
