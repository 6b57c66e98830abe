"""Pure rules: findings become episodes, episodes become cases; every decision carries its reason."""
