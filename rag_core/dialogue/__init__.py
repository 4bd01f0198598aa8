"""Parts of follow-up resolution: what a question leans on, the periods it names, the words that it puts in place of others."""
