"""A blind listening test in the browser: MUSHRA, MUltiple Stimuli with Hidden Reference and Anchor [ITU-R BS.1534-3].

    stimuli      the folder of sounds, checked before anybody listens
    ratings      the CSV file: rows are only ever added, and each is on the disk before the browser hears "saved"
    session      who hears what on which screen, behind which number, and has rated it how
    server       HTTP, standard library only
    page/        what the browser gets: instructions, sliders, a player that switches without a gap
    analysis     post-screening, means and intervals
    plot         the picture of them
    webmushra    the same stimuli for webMUSHRA, to ask listeners who are elsewhere
"""
