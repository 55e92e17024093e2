"""The least charm on Python ops that sees what ours sees: options, and what each related unit says."""

import ops


class Charm(ops.CharmBase):
    """Looks at everything in each event, as a charm that reconciles does."""

    def __init__(self, framework):
        super().__init__(framework)
        for event in (self.on.config_changed, self.on.update_status):
            framework.observe(event, self.reconcile)

    def reconcile(self, _):
        """Counts the projects that could be served."""
        projects = 0
        for relation in self.model.relations["image"]:
            for unit in relation.units:
                said = relation.data[unit]
                projects += all(said.get(key) for key in ("auth_url", "username", "password", "project_name"))
        self.unit.status = ops.ActiveStatus(f"{self.config.get('base-image')} for {projects} projects")


if __name__ == "__main__":
    ops.main(Charm)
