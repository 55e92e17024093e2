//! What the journal costs with 2,000 images: 20 targets in 100 projects.

use crate::Setting;
use crate::deployment::Deployment;
use crate::report::{Figure, Report};
use crate::worker_cost;

pub fn measure(setting: &Setting, report: &mut Report) {
    let (projects, bases, architectures) = match setting.quick {
        true => (10, "jammy,noble", "x64"),
        false => (100, "focal,jammy,noble,resolute", "x64,arm64,arm,s390x,ppc64le"),
    };
    let targets = bases.split(',').count() * architectures.split(',').count();
    report.group(&format!("{} images: {targets} targets in {projects} projects", projects * targets));
    let options = [("base-image", bases), ("architecture", architectures)];
    let deployment = Deployment::idle(&setting.charm, projects, &options);
    let built = worker_cost::during(&deployment.host(), || deployment.become_ours(&setting.charm));
    report.add(Figure::new("all built and shared: CPU of the worker", built.cpu, "s"));
    report.add(Figure::new("all built and shared: written by the worker", built.written, "MB"));
    deployment.settle();
    let looked = worker_cost::during(&deployment.host(), || {
        deployment.look();
    });
    report.add(Figure::new("nothing changed: CPU of the worker", looked.cpu, "s").at_most(2.0));
    report.add(Figure::new("nothing changed: written by the worker", looked.written, "MB").at_most(20.0));
}
