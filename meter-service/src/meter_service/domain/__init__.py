"""Flow files, readings and their versions: rules without a database, a file or a clock."""
