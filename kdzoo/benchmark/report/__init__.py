"""From the results on disk to a leaderboard, and to a page that shows it."""
