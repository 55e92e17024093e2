//! What unit tests share: a plain configuration, and chance that tells the same story twice with the damage that it does
//! to what we read.

use serde_json::{Value, json};

use crate::builder::{
    BaseImageSource, BuildMode, BuilderRunConfig, BuilderVm, CloudName, Owner, RunnerSource,
};
use crate::instance::DEFAULT_RECIPE;
use crate::target::{Arch, BaseImage, Target};

/// To build noble-x64 in `builders-1`, for nobody yet.
pub fn run_config() -> BuilderRunConfig {
    let text = |text: &str| text.to_owned();
    BuilderRunConfig {
        owner: Owner { model_uuid: text("m"), application: text("a"), unit: 0 },
        targets: vec![Target { base: BaseImage::Noble, arch: Arch::X64 }],
        build_cloud: CloudName::new("builders-1"),
        clouds: Vec::new(),
        build_mode: BuildMode::External,
        base_image: BaseImageSource { url: text("https://u"), keyring: text("/k") },
        vm: BuilderVm {
            flavor: None,
            network: None,
            ssh_ingress: text("0.0.0.0/0"),
            ssh_options: Vec::new(),
            boot_timeout_s: 1200,
            apt_mirror: None,
        },
        recipe: DEFAULT_RECIPE.parse().unwrap(),
        runner: RunnerSource { version: None, source: text("https://g"), api_url: text("https://g") },
        script_url: None,
        script_secret: None,
        verify_image: true,
        adopt: false,
        revision_history_limit: 5,
        max_image_age_hours: 24,
    }
}

/// A small generator of numbers (Marsaglia's xorshift): the same sequence for ever.
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    /// One of them.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// `text` with up to six bytes changed, removed, added or cut off.
    pub fn damaged(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        for _ in 0..1 + self.below(6) {
            if bytes.is_empty() {
                bytes.push(b' ');
            }
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = self.one(b"\t\n:{}[]&*!|>'\"%@`#-?,\0\\9"),
                2 => drop(bytes.remove(at)),
                3 => bytes[at] = self.below(256) as u8,
                _ => bytes.insert(at, self.one(b"\n :-{}[]\"0")),
            }
        }
        bytes
    }

    /// `whole` with one to three of its values replaced by something that nobody expects there, or left out.
    pub fn distorted(&mut self, whole: &Value) -> Value {
        let mut value = whole.clone();
        for _ in 0..1 + self.below(3) {
            self.distort(&mut value);
        }
        value
    }

    fn distort(&mut self, value: &mut Value) {
        let deeper = self.below(5) > 0;
        match value {
            Value::Object(fields) if deeper && !fields.is_empty() => {
                let name = fields.keys().nth(self.below(fields.len())).cloned().unwrap_or_default();
                if self.below(8) == 0 {
                    fields.remove(&name);
                } else if let Some(field) = fields.get_mut(&name) {
                    self.distort(field);
                }
            }
            Value::Array(items) if deeper && !items.is_empty() => {
                let at = self.below(items.len());
                self.distort(&mut items[at]);
            }
            other => *other = self.surprise(),
        }
    }

    fn surprise(&mut self) -> Value {
        match self.below(14) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(u64::MAX),
            4 => json!(1e300),
            5 => json!(""),
            6 => json!([]),
            7 => json!({}),
            8 => json!("x".repeat(5000)),
            9 => json!("\0\r\n\u{202e}"),
            10 => json!("9999-99-99T99:99:99Z"),
            11 => json!([[[[null]]]]),
            12 => json!("../../etc/passwd"),
            _ => json!({"": {"id": 7}}),
        }
    }
}
