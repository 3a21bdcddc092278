"""Where downloads live: one interface (`LocalStore`), today a local directory."""
