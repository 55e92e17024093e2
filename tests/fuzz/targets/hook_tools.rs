//! What hook tools print: a value, or an error that names the tool; of a secret it tells nothing but the place. Options that
//! make no sense are refused in words.

#![no_main]
#![allow(missing_docs, reason = "a failure is what is looked for")]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use runner_image_builder::charm::{InvalidOption, Options};
use runner_image_builder::juju::{HookToolError, answers};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate_json(data, size, max_size, seed, 0)
});

fuzz_target!(|bytes: &[u8]| {
    read("is-leader", answers::is_leader(bytes));
    read("relation-ids", answers::relation_ids(bytes));
    read("relation-list", answers::relation_list(bytes));
    read("relation-get", answers::databag(bytes));
    read("goal-state", answers::goal_state_units(bytes));
    read("secret-info-get", answers::labelled_secret(bytes));
    read("secret-add", answers::added_secret(bytes));
    read("action-get", answers::action_parameters(bytes));
    if let Err(error) = answers::secret(bytes) {
        let words: Vec<String> = error.to_string().split(' ').map(str::to_owned).collect();
        let expected = "reading the answer of secret-get: line N column N: not the JSON that it documents";
        let same = |(word, expected): (&String, &str)| {
            word == expected || expected.starts_with('N') && is_number(word)
        };
        assert!(
            words.len() == expected.split(' ').count() && words.iter().zip(expected.split(' ')).all(same),
            "{error}"
        );
    }
    if let Some(config) = read("config-get", answers::config(bytes)) {
        understood(&Options::new(config));
    }
});

fn is_number(word: &str) -> bool {
    word.trim_end_matches(':').chars().all(|c| c.is_ascii_digit())
}

fn read<T>(tool: &str, answer: Result<T, HookToolError>) -> Option<T> {
    answer
        .inspect_err(|error| {
            assert!(error.to_string().starts_with(&format!("reading the answer of {tool}: ")))
        })
        .ok()
}

fn understood(options: &Options) {
    let refused: [Option<InvalidOption>; 20] = [
        options.architectures().err(),
        options.bases().err(),
        options.build_interval().err(),
        options.build_mode().err(),
        options.revision_history_limit().err(),
        options.max_image_age().err(),
        options.rebuild_on().err(),
        options.security_mirror().err(),
        options.runner_version().err(),
        options.recipe().err(),
        options.script_secret().err(),
        options.boot_timeout().err(),
        options.ssh_ingress().err(),
        options.ssh_options().err(),
        options.base_image_keyring().err(),
        options.openstack().err(),
        options.script_url().err(),
        options.base_image_source().err(),
        options.trusted_url("runner-source").err(),
        options.web_url("build-apt-mirror").err(),
    ];
    for refusal in refused.into_iter().flatten() {
        assert!(!refusal.to_string().trim().is_empty());
    }
    let _ = options.remove_images_on_removal();
}
