//! The promises that hold wherever a command runs.

use std::any::Any;
use std::io::{self, Cursor, Read};
use std::time::Duration;

use runner_image_builder::deadline::Deadline;
use runner_image_builder::host::random_uuid;
use runner_image_builder::instance::{Command, Executor, ExecutorError, Output};
use runner_image_builder::secret::Secret;
use sha2::Digest;

/// Makes a test of each promise. `$place` gives a [`Place`].
#[macro_export]
macro_rules! keeps_every_promise {
    ($place:expr) => {
        $crate::keeps_every_promise!(
            $place;
            gives_every_exit_code,
            keeps_the_two_outputs_apart,
            goes_on_when_a_command_says_more_than_is_kept,
            hands_over_every_byte_of_the_input,
            gives_no_input_where_none_is_given,
            sets_and_removes_variables,
            takes_words_as_they_are,
            streams_a_large_input,
            shows_no_secret_in_any_process,
            ends_a_command_and_its_children_at_the_deadline,
            kills_what_does_not_want_to_end,
            does_nothing_once_the_time_is_up,
            writes_a_file_with_its_owner_and_mode,
            replaces_a_link_instead_of_following_it,
            reads_files_up_to_a_limit,
            fails_with_the_commands_last_words,
        );
    };
    ($place:expr; $($promise:ident,)+) => {
        $(
            #[test]
            fn $promise() {
                let place = $place;
                $crate::promises::$promise(&place);
            }
        )+
    };
}

/// Where a command runs, and what must live as long.
pub struct Place {
    /// The executor.
    pub executor: Box<dyn Executor>,
    /// What it stands on.
    pub _ground: Box<dyn Any>,
}

impl Place {
    fn execute(&self, command: Command) -> Result<Output, ExecutorError> {
        self.executor.execute(command, soon())
    }

    fn run(&self, command: Command) -> Output {
        self.executor.run(command, soon()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// What a piece of shell prints.
    fn says(&self, script: &str, words: &[&str]) -> String {
        let argv = ["bash", "-euc", script].into_iter().chain(words.iter().copied());
        String::from_utf8(self.run(Command::new(argv)).stdout).unwrap()
    }

    /// A new folder in the instance, for one promise.
    fn folder(&self) -> Folder<'_> {
        Folder { place: self, path: self.says("mktemp -d", &[]).trim().to_owned() }
    }
}

struct Folder<'a> {
    place: &'a Place,
    path: String,
}

impl Folder<'_> {
    fn file(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }
}

impl Drop for Folder<'_> {
    fn drop(&mut self) {
        let _ = self.place.execute(Command::new(["rm", "-rf", &self.path]));
    }
}

fn soon() -> Deadline {
    Deadline::after(Duration::from_secs(300))
}

/// Words that a careless quoting would break.
const ODD: [&str; 9] =
    ["", " ", "it's $(id) `id` \"x\" \\ {{y}}", "a\nb\n", "*", "-n", "ä€😀", "#x", "!!;&|<>"];

pub fn gives_every_exit_code(place: &Place) {
    for code in [0, 1, 2, 124, 126, 137, 254, 255] {
        let output = place.execute(Command::new(["bash", "-c", &format!("exit {code}")])).unwrap();
        assert_eq!(output.code, code);
    }
    assert_ne!(place.execute(Command::new(["no-such-command"])).map_or(1, |output| output.code), 0);
}

pub fn keeps_the_two_outputs_apart(place: &Place) {
    let output = place.run(Command::shell("printf 'out\\0\\377'; printf 'one\\ntwo' >&2"));
    assert_eq!(output.stdout, b"out\0\xff");
    assert_eq!(output.stderr, "one\ntwo");
}

pub fn goes_on_when_a_command_says_more_than_is_kept(place: &Place) {
    let script = "head -c 67108864 /dev/zero; head -c 1048576 /dev/zero | tr '\\0' x >&2; echo end >&2";
    let output = place.run(Command::shell(script));
    assert_eq!(output.stdout.len(), 1 << 20);
    assert!(output.stderr.ends_with("xend"), "{}", output.stderr.len());
}

pub fn hands_over_every_byte_of_the_input(place: &Place) {
    let bytes: Vec<u8> = (0..=255).cycle().take(100_000).chain(*b"exit 7\n\nset +e\n").collect();
    let output = place.run(Command::new(["cat"]).stdin(Cursor::new(bytes.clone())));
    assert_eq!(output.stdout, bytes);
    // What the command leaves unread is nobody's script.
    let output = place.execute(Command::new(["head", "-c", "1"]).stdin(Cursor::new(bytes))).unwrap();
    assert_eq!((output.code, output.stdout), (0, vec![0]));
}

pub fn gives_no_input_where_none_is_given(place: &Place) {
    assert!(place.run(Command::new(["cat"])).stdout.is_empty());
}

pub fn sets_and_removes_variables(place: &Place) {
    for value in ODD {
        let variables = [
            ("ODD".to_owned(), Some(Secret::new(value.to_owned()))),
            ("HOME".to_owned(), None),
            ("PATH".to_owned(), None),
        ];
        let script = "printf %s \"$ODD|${HOME-unset}\"";
        let output = place.run(Command::new(["/bin/bash", "-c", script]).environment(variables));
        assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{value}|unset"));
    }
}

pub fn takes_words_as_they_are(place: &Place) {
    let script = "printf '%s\\0' \"$@\"";
    let argv = ["bash", "-c", script, "bash"].into_iter().chain(ODD);
    let expected: String = ODD.iter().map(|word| format!("{word}\0")).collect();
    assert_eq!(String::from_utf8(place.run(Command::new(argv)).stdout).unwrap(), expected);
}

pub fn streams_a_large_input(place: &Place) {
    const SIZE: u64 = 64 << 20;
    let input = || io::repeat(b'a').take(SIZE);
    let digest = {
        let (mut hash, mut buffer, mut input) = (sha2::Sha256::new(), vec![0; 1 << 20], input());
        while let read @ 1.. = input.read(&mut buffer).unwrap() {
            hash.update(&buffer[..read]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let command = Command::new(["sha256sum"]).stdin(input()).limit(Duration::from_secs(250));
    let said = String::from_utf8(place.run(command).stdout).unwrap();
    assert!(said.starts_with(&digest), "{said}");
}

pub fn shows_no_secret_in_any_process(place: &Place) {
    // No other process of the machine knows it: not that of the same promise on another executor either.
    let secret = format!("secret-{}", random_uuid());
    let variable = ("TOLD".to_owned(), Some(Secret::new(secret.clone())));
    // Its environment is in the command itself and in its guard, which are of one group, and nowhere else. What is looked
    // at is listed first: none of the programs that look is among it.
    let script = "secret=$(cat); own=$(ps -o pgid= -p $$); files=(/proc/[0-9]*/{cmdline,environ})
        for file in $(grep -laFf - \"${files[@]}\" <<<\"$secret\" 2>/dev/null); do
            process=${file#/proc/}; process=${process%/*}
            [[ $file == */environ && $(ps -o pgid= -p $process) == \"$own\" ]] || echo $file
        done";
    let command = Command::new(["bash", "-c", script]).environment([variable]).stdin(Cursor::new(secret));
    assert_eq!(String::from_utf8(place.run(command).stdout).unwrap(), "");
}

/// Holds a lock on the file `$0`, as long as this shell or any child of it lives.
const HOLD: &str = "exec 9>\"$0\"; flock 9";

/// Says what is wrong when the holders had not begun, or do not end.
const RELEASED: &str = "[ -e \"$0.begun\" ] || echo it had not begun
    flock --timeout 60 \"$0\" true || echo it is still held";

pub fn ends_a_command_and_its_children_at_the_deadline(place: &Place) {
    let folder = place.folder();
    let script = format!("{HOLD}; (trap '' TERM; sleep 900) & sleep 900 & touch \"$0.begun\"; wait");
    let command = Command::new(["bash", "-c", &script, &folder.file("held")]);
    let error = place.execute(command.limit(Duration::from_secs(3))).unwrap_err();
    assert!(matches!(error, ExecutorError::Deadline { .. }), "{error}");
    assert_eq!(place.says(RELEASED, &[&folder.file("held")]), "", "a child outlived the deadline");
}

pub fn kills_what_does_not_want_to_end(place: &Place) {
    let folder = place.folder();
    let script =
        format!("{HOLD}; trap '' TERM INT HUP; touch \"$0.begun\"; for i in {{1..9000}}; do sleep 0.1; done");
    let command = Command::new(["bash", "-c", &script, &folder.file("held")]);
    let error = place.execute(command.limit(Duration::from_secs(3))).unwrap_err();
    assert!(matches!(error, ExecutorError::Deadline { .. }), "{error}");
    assert_eq!(place.says(RELEASED, &[&folder.file("held")]), "", "it outlived the deadline");
}

pub fn does_nothing_once_the_time_is_up(place: &Place) {
    let folder = place.folder();
    let command = Command::new(["touch", &folder.file("done")]);
    let error = place.executor.execute(command, Deadline::after(Duration::ZERO)).unwrap_err();
    assert!(matches!(error, ExecutorError::Deadline { .. } | ExecutorError::Unreachable { .. }), "{error}");
    assert_eq!(place.says("ls \"$0\"", &[&folder.path]), "");
}

pub fn writes_a_file_with_its_owner_and_mode(place: &Place) {
    let folder = place.folder();
    let content: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    for name in ["plain", "it's $(id) \"x\"", "-n", "new/folder/ä b", "line\nbreak"] {
        let path = folder.file(name);
        place.executor.push_file_for("nobody:daemon", &path, 0o4640, content.clone(), soon()).unwrap();
        assert_eq!(place.says("stat -c '%U:%G %a %s' -- \"$0\"", &[&path]), "nobody:daemon 4640 3145728\n");
        place.executor.push_file(&path, 0o600, b"short".to_vec(), soon()).unwrap();
        assert_eq!(
            place.says("stat -c '%U:%G %a' -- \"$0\"; cat -- \"$0\"", &[&path]),
            "root:root 600\nshort"
        );
    }
    let left = place.says("find \"$0\" -type f | grep -c .", &[&folder.path]);
    // The one with a line break counts twice.
    assert_eq!(left, "6\n", "something was left beside the files");
}

pub fn replaces_a_link_instead_of_following_it(place: &Place) {
    let folder = place.folder();
    place.says("echo untouched >\"$0/target\"; ln -s target \"$0/link\"", &[&folder.path]);
    place.executor.push_file(&folder.file("link"), 0o644, b"new".to_vec(), soon()).unwrap();
    assert_eq!(place.says("cat \"$0/target\" \"$0/link\"", &[&folder.path]), "untouched\nnew");
}

pub fn reads_files_up_to_a_limit(place: &Place) {
    let folder = place.folder();
    let path = folder.file("it's \"odd\"");
    assert_eq!(place.executor.pull_file(&path, 10, soon()).unwrap(), None);
    place.executor.push_file(&path, 0o644, b"\x00123456789".to_vec(), soon()).unwrap();
    assert_eq!(place.executor.pull_file(&path, 10, soon()).unwrap().unwrap(), b"\x00123456789"[..]);
    let error = place.executor.pull_file(&path, 9, soon()).unwrap_err();
    assert!(matches!(error, ExecutorError::TooLarge { .. }), "{error}");
    assert!(place.executor.pull_file(&folder.path, 9, soon()).is_err(), "a folder is no file");
}

pub fn fails_with_the_commands_last_words(place: &Place) {
    let error = place.executor.run(Command::shell("echo no such luck >&2; exit 3"), soon()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no such luck") && text.contains("exit code 3"), "{text}");
    assert!(text.contains(&place.executor.instance()), "{text}");
}
