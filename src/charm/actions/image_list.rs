//! Which images there are: the builds that are kept, their copies in related projects, what holds or bars them, and which
//! relation names each. Read from the unit's records alone, so it may be asked at any time.

use std::fmt;

use serde::Serialize;

use crate::host::Host;
use crate::model::{Target, Timestamp, printable_line};
use crate::openstack_cloud::ImageId;
use crate::record::{
    BootTimes, BuilderRunConfig, CloudName, Image, Journal, Published, RecordError, Request, Revision,
    Revocation, Seconds,
};

/// All images; displays as a table, serialises as JSON.
#[derive(Debug, Serialize)]
pub struct ImageList {
    /// One a build, a copy, or a project that lacks what it is to have.
    pub images: Vec<Row>,
    /// The builds that are never told again and of which nothing is kept.
    #[serde(skip)]
    revoked: Vec<Revocation>,
}

/// One image.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What it was built for.
    pub target: Target,
    /// Where it is.
    pub project: CloudName,
    /// Its id there; absent while it is delivered.
    pub id: Option<ImageId>,
    /// The build that it is a copy of; its own id in the build project.
    pub build: Option<ImageId>,
    /// When it was built.
    pub built: Timestamp,
    /// The number of its bytes.
    pub size: Option<u64>,
    /// How long its machine took to boot when it was verified.
    pub boot: Option<BootTimes>,
    /// When the list was signed that names its base image.
    pub base_image: Option<Timestamp>,
    /// The version of its runner.
    pub runner: Option<String>,
    /// What it is there.
    pub state: State,
    /// Whether it is pinned.
    pub pinned: bool,
    /// Why it is never told again.
    pub revoked: Option<String>,
    /// The relations that name it.
    pub named_by: Vec<String>,
}

/// What an image is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A finished build in the build project.
    Build,
    /// Relations to the project are told of it.
    Told,
    /// It is kept to be told again.
    Kept,
    /// The project is to get it, and lacks it.
    Missing,
}

impl ImageList {
    /// As of now.
    pub fn load(host: &Host) -> Result<Self, RecordError> {
        let told = Journal::load_told(host)?;
        let levers = &told.levers;
        let published = Published::load(host)?;
        let config = Request::load(host)?.map(|request| request.config);
        let mut rows = Vec::new();
        for build in &told.revisions {
            if let Some(config) = &config {
                rows.push(row(build, &config.build_cloud, Some(&build.id), State::Build));
            }
            let is_told = |cloud: &CloudName, id: &ImageId| {
                told.image(build.target, cloud).is_some_and(|image| image.result.id == *id)
            };
            let kept = build.copies.iter().filter(|copy| !is_told(&copy.cloud, &copy.id));
            rows.extend(kept.map(|copy| row(build, &copy.cloud, Some(&copy.id), State::Kept)));
        }
        rows.extend(told.images.iter().map(|image| row_of_image(image, &told)));
        rows.extend(config.iter().flat_map(|config| missing(&told, config)));
        for row in &mut rows {
            row.pinned = row.build.is_some()
                && levers.pin_of(row.target).map(|pin| &pin.build.id) == row.build.as_ref();
            let revocation = row.build.as_ref().or(row.id.as_ref()).and_then(|id| levers.revocation(id));
            row.revoked = revocation.map(|revocation| revocation.reason.clone());
            row.named_by = row.id.iter().flat_map(|id| published.naming(id.as_str())).collect();
        }
        let place = |state: State| match state {
            State::Told => 0,
            State::Missing => 1,
            State::Build => 2,
            State::Kept => 3,
        };
        let order = |row: &Row| (row.target, place(row.state), row.project.clone(), u64::MAX - row.built.0);
        rows.sort_by_key(order);
        let is_listed = |known: &Revocation| {
            rows.iter().any(|row| row.build.as_ref().or(row.id.as_ref()) == Some(&known.build))
        };
        let revoked = levers.revoked.iter().filter(|known| !is_listed(known)).cloned().collect();
        Ok(Self { images: rows, revoked })
    }
}

fn row(build: &Revision, project: &CloudName, id: Option<&ImageId>, state: State) -> Row {
    Row {
        target: build.target,
        project: project.clone(),
        id: id.cloned(),
        build: Some(build.id.clone()),
        built: build.built,
        size: build.proof.as_ref().map(|proof| proof.size),
        boot: build.contents.as_ref().and_then(|contents| contents.boot.clone()),
        base_image: build.contents.as_ref().map(|contents| contents.base_image),
        runner: build.contents.as_ref().map(|contents| contents.runner.clone()),
        state,
        pinned: false,
        revoked: None,
        named_by: Vec::new(),
    }
}

fn row_of_image(image: &Image, journal: &Journal) -> Row {
    let (project, id) = (&image.result.config.cloud_name, &image.result.id);
    match image.revision.as_ref().and_then(|build| journal.revision(build)) {
        Some(build) => row(build, project, Some(id), State::Told),
        // Of an earlier version, or of a build that was pruned.
        None => Row {
            target: image.target(),
            project: project.clone(),
            id: Some(id.clone()),
            build: image.revision.clone(),
            built: image.built,
            size: None,
            boot: None,
            base_image: None,
            runner: None,
            state: State::Told,
            pinned: false,
            revoked: None,
            named_by: Vec::new(),
        },
    }
}

fn missing<'a>(journal: &'a Journal, config: &'a BuilderRunConfig) -> impl Iterator<Item = Row> + 'a {
    let choices = journal.levers.choices(journal, config).into_iter();
    choices.filter_map(|choice| choice.where_it_lacks()).flat_map(|choice| {
        let places = choice.places;
        places.into_iter().map(move |(cloud, _)| row(&choice.build, &cloud, None, State::Missing))
    })
}

impl Row {
    fn cells(&self) -> [String; 10] {
        let unknown = || "-".to_owned();
        let day = |at: Timestamp| at.to_string().chars().take(10).collect::<String>();
        let mut state = match self.state {
            State::Build => "kept in build project".to_owned(),
            State::Told => "published".to_owned(),
            State::Kept => "kept, not published".to_owned(),
            State::Missing => "missing, being delivered".to_owned(),
        };
        state.push_str(if self.pinned { ", pinned" } else { "" });
        self.revoked.iter().for_each(|reason| state.push_str(&format!(", revoked: {reason}")));
        let boot = self.boot.as_ref().and_then(BootTimes::total_ms);
        [
            self.target.to_string(),
            self.project.to_string(),
            self.id.as_ref().map_or_else(unknown, ToString::to_string),
            format!("{}", self.built),
            self.size.map_or_else(unknown, |size| format!("{} MiB", size.div_ceil(1 << 20))),
            boot.map_or_else(unknown, |total| Seconds(total).to_string()),
            self.base_image.map_or_else(unknown, day),
            self.runner.clone().unwrap_or_else(unknown),
            if self.named_by.is_empty() { unknown() } else { self.named_by.join(",") },
            printable_line(&state).to_string(),
        ]
    }
}

impl fmt::Display for ImageList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.images.is_empty() {
            return writeln!(f, "no images yet");
        }
        let head = [
            "TARGET",
            "PROJECT",
            "ID",
            "BUILT",
            "SIZE",
            "BOOT",
            "BASE IMAGE",
            "RUNNER",
            "RELATIONS",
            "STATE",
        ];
        let rows: Vec<[String; 10]> =
            std::iter::once(head.map(str::to_owned)).chain(self.images.iter().map(Row::cells)).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
            writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
        }
        for Revocation { target, build, reason, since, .. } in &self.revoked {
            let line = format!("build {build} of {target} was revoked {since} and is not kept: {reason}");
            writeln!(f, "{}", printable_line(&line))?;
        }
        f.write_str(HELP)
    }
}

/// What can be done with an ID of the list. The actions and the commands on the unit have the same names.
const HELP: &str = "\
To publish an earlier image again: pin with its ID; to return to the newest: unpin; to withdraw one: revoke.
To see what is inside: show-image with an ID; what changed: diff-images; what was built when and why it failed: history.
";
