"""Some thirty short articles on actresses, films and directors: a corpus for questions of several hops."""

ARTICLES = {
    "cotillard": (
        "Marion Cotillard",
        "Marion Cotillard is a French actress. For her part as the singer Edith Piaf in La Vie en "
        "Rose she won the Academy Award for Best Actress in 2008. In 2014 she was nominated again, "
        "for Two Days, One Night.",
    ),
    "mcdormand": (
        "Frances McDormand",
        "Frances McDormand is an American actress. She won her first Academy Award for playing the "
        "police chief of Fargo in 1997. More than twenty years later she starred in Nomadland.",
    ),
    "swank": (
        "Hilary Swank",
        "Hilary Swank is an American actress. She received an Academy Award in 2000 for Boys Don't "
        "Cry. Her second came for the boxer of Million Dollar Baby.",
    ),
    "blanchett": (
        "Cate Blanchett",
        "Cate Blanchett is an Australian actress. In 2005 she won an Academy Award for the part of "
        "Katharine Hepburn in The Aviator. Carol, in 2015, was among her later successes.",
    ),
    "weisz": (
        "Rachel Weisz",
        "Rachel Weisz is a British actress, who won an Academy Award for The Constant Gardener in "
        "2006. She was later seen in The Favourite.",
    ),
    "moore": (
        "Julianne Moore",
        "Julianne Moore is an American actress. She won an Academy Award in 2015 for Still Alice. "
        "Years before she had been in Magnolia.",
    ),
    "colman": (
        "Olivia Colman",
        "Olivia Colman is an English actress. Playing Queen Anne brought her the Academy Award in 2019.",
    ),
    "vie": (
        "La Vie en Rose",
        "La Vie en Rose is a film of 2007 on the life of the singer Edith Piaf. Olivier Dahan directed it.",
    ),
    "two_days": (
        "Two Days, One Night",
        "Two Days, One Night is a Belgian drama of 2014. A factory worker, played by Marion "
        "Cotillard, has one weekend to talk her colleagues out of their bonus. It was written and "
        "directed by the brothers Jean-Pierre and Luc Dardenne.",
    ),
    "fargo": (
        "Fargo",
        "Fargo is a crime film of 1996 in the snow of Minnesota. It was made by Joel and Ethan Coen.",
    ),
    "nomadland": (
        "Nomadland",
        "Nomadland is a drama of 2020. A widow, played by Frances McDormand, lives in her van and "
        "follows seasonal work. The director was Chloe Zhao.",
    ),
    "boys": (
        "Boys Don't Cry",
        "Boys Don't Cry is a film of 1999 with Hilary Swank, set in Nebraska. Kimberly Peirce was its "
        "director.",
    ),
    "million": (
        "Million Dollar Baby",
        "Million Dollar Baby is a boxing film of 2004 with Hilary Swank. Clint Eastwood directed it "
        "and played the trainer.",
    ),
    "aviator": (
        "The Aviator",
        "The Aviator is a film of 2004 on the life of Howard Hughes. It was directed by Martin Scorsese.",
    ),
    "carol": (
        "Carol",
        "Carol is a romance of 2015, set in New York, with Cate Blanchett in the title part. Todd "
        "Haynes was the director.",
    ),
    "gardener": (
        "The Constant Gardener",
        "The Constant Gardener is a thriller of 2005, shot in Kenya. Fernando Meirelles directed it.",
    ),
    "favourite": (
        "The Favourite",
        "The Favourite is a comedy of 2018 at the court of Queen Anne, with Olivia Colman, Rachel "
        "Weisz and Emma Stone. Yorgos Lanthimos directed it.",
    ),
    "alice": (
        "Still Alice",
        "Still Alice is a film of 2014 on a linguist who forgets. Richard Glatzer and Wash "
        "Westmoreland made it.",
    ),
    "magnolia": (
        "Magnolia",
        "Magnolia is a film of 1999 with many stories and a rain of frogs. Paul Thomas Anderson directed it.",
    ),
    "dardenne": (
        "Dardenne brothers",
        "The brothers Jean-Pierre and Luc Dardenne, born near Liege, make films of working people. "
        "They have won the Golden Palm of Cannes twice, for Rosetta and The Child.",
    ),
    "zhao": (
        "Chloe Zhao",
        "Chloe Zhao was born in Beijing and studied in New York. The Rider, her second film, was made "
        "with people of a reservation in South Dakota.",
    ),
    "eastwood": (
        "Clint Eastwood",
        "Clint Eastwood was the face of western films before he directed. He was mayor of Carmel for "
        "two years.",
    ),
    "scorsese": (
        "Martin Scorsese",
        "Martin Scorsese grew up in Little Italy. Taxi Driver made him known all over the world.",
    ),
    "lanthimos": (
        "Yorgos Lanthimos",
        "Yorgos Lanthimos was born in Athens. Dogtooth was the first of his films to be noticed abroad.",
    ),
    "haynes": (
        "Todd Haynes",
        "Todd Haynes was born in Los Angeles. Far from Heaven, his homage to Douglas Sirk, came in 2002.",
    ),
    "meirelles": (
        "Fernando Meirelles",
        "Fernando Meirelles was born in Sao Paulo and trained as an architect. City of God is his "
        "best-known film.",
    ),
    "award": (
        "Academy Awards",
        "The Academy Awards, called Oscars, are given every spring in Los Angeles. An Oscar is a "
        "gilded statue of a knight with a sword.",
    ),
    "piaf": (
        "Edith Piaf",
        "Edith Piaf sang in the streets of Paris before she became the most famous singer of France.",
    ),
}
