"""Training graphs against teachers: recipes, losses, the loop, reports."""
