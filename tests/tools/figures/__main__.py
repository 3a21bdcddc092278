from tests.tools.figures.count import main

main()
