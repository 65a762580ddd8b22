"""What `import ionloop` offers in a notebook: models, campaigns, stores and analyses that show themselves."""
