//! A job in which nothing has changed: how long it takes and what it asks, with few projects and many, with few images and
//! many.

use std::time::Duration;

use crate::Setting;
use crate::deployment::{Cost, Deployment};
use crate::pairs::{median, ratio};
use crate::report::{Figure, Report};

/// What a request takes.
const LATENCY: Duration = Duration::from_millis(50);

/// What 50 projects may take of one project's time.
const TARGET: f64 = 1.5;

pub fn measure(setting: &Setting, report: &mut Report) {
    let projects: &[usize] = if setting.quick { &[1, 10] } else { &[1, 10, 50] };
    let deployed = |projects: &usize| {
        let deployment = Deployment::settled(&setting.charm, *projects, &[]);
        deployment.slow_down(LATENCY);
        deployment
    };
    let deployments: Vec<Deployment> = projects.iter().map(deployed).collect();
    let names: Vec<String> = projects.iter().map(|count| of_projects(*count)).collect();
    report.group("Nothing has changed, 50 ms a request");
    let rounds = setting.rounds(7, 3);
    tell(&in_turn(rounds, &deployments, |_| ()), &names, Some(TARGET), report);
    report.group("The same in a job that searches the clouds, as one does each hour");
    tell(&in_turn(rounds, &deployments, Deployment::search_is_due), &names, Some(TARGET), report);
    drop(deployments);
    let images: &[usize] = if setting.quick { &[10, 1000] } else { &[10, 1000, 10_000] };
    let crowded = |images: &usize| {
        let deployment = Deployment::settled(&setting.charm, 1, &[]);
        deployment.crowd(*images);
        deployment.slow_down(LATENCY);
        deployment
    };
    let deployments: Vec<Deployment> = images.iter().map(crowded).collect();
    let names: Vec<String> =
        images.iter().map(|count| format!("1 project, {count} images of others")).collect();
    report.group("Nothing has changed in clouds with other people's images, with the hourly search");
    tell(&in_turn(rounds, &deployments, Deployment::search_is_due), &names, None, report);
}

fn of_projects(count: usize) -> String {
    if count == 1 { "1 project".to_owned() } else { format!("{count} projects") }
}

/// What each deployment's job costs in each round.
fn in_turn(rounds: usize, deployments: &[Deployment], prepare: fn(&Deployment)) -> Vec<Vec<Cost>> {
    let mut costs = vec![Vec::new(); deployments.len()];
    for round in 0..rounds {
        // Each begins a round as often as the others.
        for index in (0..deployments.len()).map(|index| (index + round) % deployments.len()) {
            prepare(&deployments[index]);
            costs[index].push(deployments[index].look());
        }
    }
    costs
}

fn tell(costs: &[Vec<Cost>], names: &[String], at_most: Option<f64>, report: &mut Report) {
    let walls = |costs: &[Cost]| costs.iter().map(|cost| cost.wall).collect::<Vec<f64>>();
    let first = walls(&costs[0]);
    for (costs, name) in costs.iter().zip(names) {
        let figure = Figure::new(name, median(walls(costs)), "s");
        let figure = if *name == names[0] {
            figure
        } else {
            let pairs: Vec<(f64, f64)> = walls(costs).into_iter().zip(first.iter().copied()).collect();
            figure.ratio(ratio(&pairs), &names[0])
        };
        report.add(match at_most.filter(|_| *name != names[0]) {
            Some(limit) => figure.at_most(limit),
            None => figure,
        });
        let most = |of: fn(&Cost) -> usize| costs.iter().map(of).max().unwrap_or_default() as f64;
        report.add(Figure::new(format!("{name}: requests"), most(|cost| cost.requests), ""));
        report.add(Figure::new(format!("{name}: writes"), most(|cost| cost.writes), "").at_most(0.0));
    }
}
