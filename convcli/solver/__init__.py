"""Questions turned round: layers from size to size, legal layers near an illegal one, what a shape error says."""
