"""A synthetic meeting of four people, its words, speakers and times."""
